"""The editing trajectory: edits until its test script passes, never losing a good patch to a later one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from agent.edit import Edited, read_edit
from agent.edit.hygiene import clean_changes
from agent.errors import ContextTooLong, ModelError
from agent.exchange import Exchange, Ground, patiently
from agent.model.base import Stage
from agent.prompts import editing as prompts
from agent.snippet import Script, code_blocks, read_script
from agent.suspects import Suspect, dealt, suspects
from agent.test_writing import is_valid, on_unedited
from agent.trajectory import Candidate, CandidateId, Outcome, ScriptId, TestScript
from sandbox.base import Patch
from sandbox.errors import PatchRejected, SandboxError
from sandbox.script import Verdict

_DONE = re.compile(r"^\s*<done>\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Refused:
    """Why an edit became no patch, or a script was not taken; told to the model."""

    message: str


@dataclass
class _Kept:
    """What an editing trajectory would leave behind if it ended now."""

    script: TestScript | None
    passing: tuple[Patch, TestScript] | None = None
    first: Patch | None = None
    last: Patch | None = None
    best: tuple[Patch, int, bool] | None = None
    """Of fresh draws: the patch, how many examples of the issue hold with it, whether its script passes."""

    def drawn(self, patch: Patch, held: int, passed: bool) -> None:
        """Keep a fresh draw if more examples hold with it, or as many and it passes its script."""
        if self.best is None or (held, passed) > self.best[1:]:
            self.best = patch, held, passed

    def candidate(self, trajectory: str, number: int) -> Candidate | None:
        """The last patch that was done, else the best fresh draw, else the first patch; None without any.

        The first: of patches that fail their script the first is right more often than the last (0.70 and 0.68 of
        candidates of the 1.5B model on 40 small bugs), for then it is often the script that is wrong.
        """
        name = CandidateId(f"candidate-{number}")
        if self.passing is not None:
            return Candidate(name, self.passing[0], self.passing[1], trajectory, True)
        if self.best is not None:
            return Candidate(name, self.best[0], self.script, trajectory, self.best[2])
        return Candidate(name, self.first, self.script, trajectory, False) if self.first else None


async def edit(
    ground: Ground,
    trajectory: str,
    number: int,
    script: TestScript | None,
    turns: int,
    *,
    review: bool,
    examples: Sequence[TestScript] = (),
) -> Candidate | None:
    """The trajectory's candidate. `script` is its own, or another trajectory's; invalid ones are left aside.

    `examples` of the issue are heard where turns are fresh draws: an edit is done when they pass as well.

    Raises the leaves of ModelError (except ContextTooLong, which ends the trajectory) and of SandboxError (except
    PatchRejected, which is told to the model) where there is no patch yet; one that is there survives them.
    """
    seed = script if script is not None and script.valid else None
    kept = _Kept(seed)
    exchange = Exchange(ground, Stage.EDITING, trajectory)
    try:
        if ground.draws_anew:
            await _draw(exchange, kept, number, turns, examples)
        else:
            await _converse(exchange, kept, turns, review)
    except (ModelError, SandboxError) as error:
        if kept.first is None and not isinstance(error, ContextTooLong):
            raise
        detail: dict[str, object] = {"trajectory": trajectory, "why": f"{type(error).__name__}: {error}"[:300]}
        ground.recorder.note("trajectory_ended", detail)
    return kept.candidate(trajectory, number)


async def _draw(exchange: Exchange, kept: _Kept, number: int, turns: int, examples: Sequence[TestScript]) -> None:
    """For small models: each turn is a fresh draw, for the next suspect, until one passes script and examples.

    Where none does, examples count before the script, which a model may have misread the issue for (of 81 valid
    examples of 55 small bugs 79 accept the right fix, of scripts of the 1.5B model 57 %). Every other draw shows the
    test, the rest the suspect alone.
    """
    ground, seed = exchange.ground, kept.script
    found = _small_enough(ground, seed.source if seed else None)
    for turn in range(turns):
        shown = seed if (number + turn) % 2 == 0 or not found else None
        prompt = prompts.first(
            ground.model.profile,
            shown.source if shown else None,
            shown.on_unedited if shown else None,
            dealt(found, number, turn),
        )
        answer = await exchange.ask(prompt, alone=True)
        made = await _patched(ground, answer.text)
        if isinstance(made, Refused):
            exchange.close(Outcome.EDIT_INVALID, made.message)
            continue
        kept.first = kept.first or made
        if seed is None:
            exchange.close(Outcome.EDIT_APPLIED)
            break  # nothing to check it with: a further draw would be no better
        run = await ground.execute(seed.source, made)
        held = await _held(ground, examples, made)
        passed = run.verdict is Verdict.PASSED
        if passed and held == len(examples):
            kept.passing = (made, seed)
            exchange.close(Outcome.EDIT_PASSED)
            break
        kept.drawn(made, held, passed)
        said = prompts.after_run(ground.model.profile, made, seed.on_unedited, run)
        more = f"\n{held} of {len(examples)} examples of the issue hold." if examples else ""
        exchange.close(Outcome.EDIT_APPLIED, said + more)


async def _held(ground: Ground, examples: Sequence[TestScript], patch: Patch) -> int:
    """How many examples pass on the tree with the patch. None after one that did not end: the others may not either."""
    held = 0
    for example in examples:
        run = await ground.execute(example.source, patch)
        held += run.verdict is Verdict.PASSED
        if run.verdict is Verdict.TIMED_OUT:
            break
    return held


async def _converse(exchange: Exchange, kept: _Kept, turns: int, review: bool) -> None:
    """For models that mend: one conversation in which edits, and new scripts, answer what was executed.

    `review`: the model is asked once whether a passing edit is right (CodeMonkeys' approval, arXiv 2501.14723,
    section 4); what it then writes instead counts only if it passes as well.
    """
    ground, seed = exchange.ground, kept.script
    profile = ground.model.profile
    prompt = prompts.first(profile, seed.source if seed else None, seed.on_unedited if seed else None)
    reviewed = False
    for _ in range(turns):
        answer = await exchange.ask(prompt)
        if kept.passing is not None and _DONE.search(answer.text):
            exchange.close(Outcome.EDIT_PASSED)
            break
        if exchange.turn > 1 and seed is not None and _is_script(answer.text):
            taken = await _new_script(ground, exchange.trajectory, exchange.turn - 1, answer.text)
            if isinstance(taken, Refused):
                prompt = prompts.script_rejected(taken.message)
                exchange.close(Outcome.SCRIPT_INVALID, prompt)
                continue
            seed = kept.script = taken
            if kept.last is None:
                prompt = prompts.first(profile, seed.source, seed.on_unedited)
                exchange.close(Outcome.SCRIPT_VALID, prompt)
                continue
            made, outcome = kept.last, Outcome.SCRIPT_VALID
        else:
            tried = await _patched(ground, answer.text)
            if isinstance(tried, Refused):
                prompt = prompts.problem(profile, tried.message)
                exchange.close(Outcome.EDIT_INVALID, prompt)
                continue
            made, outcome = tried, Outcome.EDIT_APPLIED
        kept.first, kept.last = kept.first or made, made
        if seed is None:
            exchange.close(Outcome.EDIT_APPLIED)
            break  # nothing to check it with: a further turn would only change it
        run = await ground.execute(seed.source, made)
        prompt = prompts.after_run(profile, made, seed.on_unedited, run)
        if run.verdict is not Verdict.PASSED:
            exchange.close(outcome, prompt)
            continue
        kept.passing = (made, seed)
        exchange.close(Outcome.EDIT_PASSED, prompt if review and not reviewed else "")
        if not review or reviewed:
            break
        reviewed = True


def _small_enough(ground: Ground, script: str | None) -> list[Suspect]:
    """The suspects that fit into an answer."""
    profile = ground.model.profile
    most = profile.edit_tokens * profile.chars_per_token * 0.8
    found = suspects(ground.task.issue, script, ground.context.tree, ground.context.paths)
    return [suspect for suspect in found if len(suspect.source) <= most]


async def _patched(ground: Ground, text: str) -> Patch | Refused:
    """The patch that git makes of a completion's edit, or what to tell the model."""
    profile = ground.model.profile
    result = read_edit(text, ground.context.tree, ground.context.paths, profile.edit_format)
    if not isinstance(result, Edited):
        return Refused(result.message)
    changes, removed = clean_changes(result.changes, ground.context.tree)
    if not changes:
        return Refused(f"Nothing of the edit can be kept: {'; '.join(removed)[:500]}")
    try:
        async with ground.executions:
            patch = await patiently(lambda: ground.sandbox.make_patch(changes))
    except PatchRejected as error:
        return Refused(f"The edit does not apply: {str(error)[:500]}")
    return patch or Refused("The edit changes nothing.")


def _is_script(text: str) -> bool:
    """Whether a completion is a new test script and no edit."""
    return "<<<<<<< SEARCH" not in text and any(
        kind in ("python", "py") and ("assert" in body or "exit(" in body) for kind, body in code_blocks(text)
    )


async def _new_script(ground: Ground, trajectory: str, turn: int, text: str) -> TestScript | Refused:
    """A script written while editing; it must be seen failing on the unedited tree like the first one."""
    read = read_script(text, ground.symbols, asserts=ground.model.profile.script_style == "asserts")
    if not isinstance(read, Script):
        return Refused(read.message)
    source, run = await on_unedited(ground, read.source)
    if not is_valid(run, ground):
        return Refused(f"on the unedited files it ended as {run.verdict}: {run.execution.output[-600:]}")
    return TestScript(ScriptId(f"script-{trajectory}-edit-{turn}"), source, True, trajectory, run)
