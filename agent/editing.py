"""The editing trajectory: edits until its test script passes, never losing a good patch to a later one."""

from __future__ import annotations

import re
from dataclasses import dataclass

from agent.edit import Edited, read_edit
from agent.edit.hygiene import clean_changes
from agent.errors import ContextTooLong
from agent.exchange import Exchange, Ground, patiently
from agent.model.base import Stage
from agent.prompts import editing as prompts
from agent.snippet import Script, code_blocks, read_script
from agent.test_writing import on_unedited
from agent.trajectory import Candidate, CandidateId, Outcome, ScriptId, TestScript
from sandbox.base import Patch
from sandbox.errors import PatchRejected
from sandbox.script import Verdict

_DONE = re.compile(r"^\s*<done>\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Refused:
    """Why an edit became no patch, or a script was not taken; told to the model."""

    message: str


async def edit(
    ground: Ground, trajectory: str, number: int, script: TestScript | None, turns: int, *, review: bool
) -> Candidate | None:
    """The trajectory's candidate: the last patch on which its script passes, else its first patch; None without any.

    `script` is its own, or another trajectory's; invalid ones are left aside. `review`: a model that can judge its
    work is asked once whether a passing edit is right (CodeMonkeys' approval, arXiv 2501.14723 section 4).
    Raises the leaves of ModelError (except ContextTooLong, which ends the trajectory) and of SandboxError (except
    PatchRejected, which is told to the model).
    """
    profile = ground.model.profile
    exchange = Exchange(ground, Stage.EDITING, trajectory)
    seed = script if script is not None and script.valid else None
    prompt = prompts.first(profile, seed.source if seed else None, seed.on_unedited if seed else None)
    passing: tuple[Patch, TestScript] | None = None
    first: Patch | None = None
    last: Patch | None = None
    reviewed = False
    for turn in range(turns):
        try:
            answer = await exchange.ask(prompt)
        except ContextTooLong as error:
            ground.recorder.note("trajectory_ended", {"trajectory": trajectory, "why": str(error)[:300]})
            break
        if passing is not None and _DONE.search(answer.text):
            exchange.close(Outcome.EDIT_PASSED)
            break
        if turn > 0 and seed is not None and profile.edit_format == "search_replace" and _is_script(answer.text):
            taken = await _new_script(ground, trajectory, turn, answer.text)
            if isinstance(taken, Refused):
                prompt = prompts.script_rejected(taken.message)
                exchange.close(Outcome.SCRIPT_INVALID, prompt)
                continue
            seed = taken
            exchange.close(Outcome.SCRIPT_VALID)
            if last is None:
                prompt = prompts.first(profile, seed.source, seed.on_unedited)
                continue
            patch = last
        else:
            made = await _patched(ground, answer.text)
            if isinstance(made, Refused):
                prompt = prompts.problem(profile, made.message)
                exchange.close(Outcome.EDIT_INVALID, prompt)
                continue
            patch = made
        first, last = first or patch, patch
        if seed is None:
            exchange.close(Outcome.EDIT_APPLIED)
            break  # nothing to check it with: a further turn would only change it
        run = await ground.execute(seed.source, patch)
        prompt = prompts.after_run(profile, patch, seed.on_unedited, run, may_rewrite=True)
        if run.verdict is not Verdict.PASSED:
            exchange.close(Outcome.EDIT_APPLIED, prompt)
            continue
        passing = (patch, seed)
        if not review or reviewed:
            exchange.close(Outcome.EDIT_PASSED)
            break
        reviewed = True
        exchange.close(Outcome.EDIT_PASSED, prompt)
    if passing is not None:
        return Candidate(CandidateId(f"candidate-{number}"), passing[0], passing[1], trajectory, True)
    if first is None:
        return None
    return Candidate(CandidateId(f"candidate-{number}"), first, seed, trajectory, False)


async def _patched(ground: Ground, text: str) -> Patch | Refused:
    """The patch that git makes of a completion's edit, or what to tell the model."""
    profile = ground.model.profile
    result = read_edit(text, ground.context.tree, ground.context.paths, profile.edit_format)
    if not isinstance(result, Edited):
        return Refused(result.message)
    changes, removed = clean_changes(result.changes)
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
    if run.verdict is not Verdict.FAILED:
        return Refused(f"on the unedited files it ended as {run.verdict}: {run.execution.output[-600:]}")
    return TestScript(ScriptId(f"script-{trajectory}-edit-{turn}"), source, True, trajectory, run)
