"""The comparison trajectory: writes scripts that tell the shortlisted classes apart, sees what they print, and chooses.

It runs twice, with the order of the candidates swapped, and chooses only where both passes agree: a judge that picks
the first candidate, whichever it is, then decides nothing. A pass counts as undecided when its answers cannot be read,
when it names none of the candidates, when its turns end, when the model fails, and when no executed script has shown
a difference in behaviour: an opinion about diffs alone is no evidence here. `choose` says what a choice may overrule.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial

import anyio

from agent.context.gather import Context
from agent.errors import ModelError
from agent.model.base import Completion, Message, Model, Profile, Request, Sampling, Stage
from agent.prompts.shared import system_message
from agent.snippet import Script, ScriptProblem, Symbols, code_blocks, read_script
from agent.task import Task
from agent.trajectory import Outcome, Recorder, Turn
from sandbox.base import UNEDITED, Limits, Patch, Sandbox, digest_of
from sandbox.errors import PatchRejected
from sandbox.script import ScriptRun
from selection.base import UNEDITED_TREE, ClassId, Comparison, ComparisonPass, ComparisonRound, PatchClass, Probe
from selection.execute import execute, not_run, side_by_side
from selection.prompts.comparison import LETTERS, observed, opening, plain_diff, unreadable

_CHOICE = re.compile(r"^\W*CHOICE\W+(?:candidate\s+)?([A-Z])\b", re.IGNORECASE | re.MULTILINE)
_LETTER = re.compile(
    r"^\W*(?:the\s+)?(?:answer\W+(?:is\W+)?)?(?:candidate\s+([A-Z])\b|([A-Z])[ \t]*(?:[^\w\s']|$))",
    re.IGNORECASE | re.MULTILINE,
)
_ADDRESS = re.compile(r"\b0x[0-9a-f]{6,}\b")
"""An object's address in a default repr differs between any two processes, and is no difference in behaviour."""


async def compare(
    task: Task,
    context: Context,
    shortlist: Sequence[PatchClass],
    sandbox: Sandbox,
    model: Model,
    *,
    turns: int,
    seed: int,
    limits: Limits,
    parallel: int,
    recorder: Recorder,
    probes: Sequence[Probe] = (),
) -> Comparison:
    """Compare the classes twice, the second time in reverse order. Probes that separate them are shown first, and count
    as an executed difference. Raises DiskFull."""
    first = shuffled(shortlist, seed)
    limiter = anyio.CapacityLimiter(max(1, parallel))
    symbols = await anyio.to_thread.run_sync(Symbols, context.tree, context.paths)
    passes: dict[int, ComparisonPass] = {}

    async def one(number: int, order: Sequence[PatchClass]) -> None:
        seen = told_apart(probes, order)
        trajectory = _Pass(task, context, order, sandbox, model, number, seed, limits, limiter, symbols, recorder, seen)
        passes[number] = await trajectory.run(turns)

    await side_by_side([partial(one, 0, first), partial(one, 1, first[::-1])])
    choices = {done.choice for done in passes.values()}
    agreed = choices.pop() if len(choices) == 1 else None
    recorder.note("comparison", {"choices": [passes[0].choice, passes[1].choice], "agreed": agreed})
    return Comparison((passes[0], passes[1]), agreed)


def shuffled(shortlist: Sequence[PatchClass], seed: int) -> tuple[PatchClass, ...]:
    """The classes in an order that depends on the seed and the patches alone, not on their votes."""
    return tuple(sorted(shortlist, key=lambda c: digest_of(str(seed), "comparison", c.patch)))


def told_apart(probes: Sequence[Probe], order: Sequence[PatchClass]) -> tuple[Probe, ...]:
    """The probes to show: those that separate these classes and have an output of each; the most telling first."""
    ids = [c.id for c in order]
    whole = [one for one in probes if all(c in one.outputs for c in ids)]
    telling = [one for one in whole if len({one.outputs[c] for c in ids}) > 1]
    return tuple(sorted(telling, key=lambda one: (-len({one.outputs[c] for c in ids}), one.varied, len(one.call))))


def read_choice(text: str, letters: Sequence[str], profile: Profile) -> str | None:
    """The letter that an answer names; None when it names none, or one that no candidate has.

    The last `CHOICE:` line outside of code counts; of a small model also an answer that begins with the letter.
    """
    prose = text
    for _, block in code_blocks(text):
        prose = prose.replace(block, "")
    named = [found.upper() for found in _CHOICE.findall(prose)]
    if not named and profile.script_style == "asserts" and (found := _LETTER.match(prose.strip())):
        named = [(found[1] or found[2]).upper()]
    return named[-1] if named and named[-1] in letters else None


def read_probe(text: str, symbols: Symbols) -> Script | ScriptProblem:
    """The script in an answer, its imports mended. One without a Python block is a problem."""
    blocks = [body for kind, body in code_blocks(text) if kind in ("", "python", "py", "python3") and body.strip()]
    if not blocks:
        return ScriptProblem("There was no Python block in your answer.")
    # A script that only prints is fine here; the reader's rule that a test can fail is met by an assertion that holds.
    return read_script(f"````python\n{blocks[-1].rstrip()}\nassert True\n````", symbols, asserts=True)


def behaviour(run: ScriptRun) -> tuple[str, int | None, str]:
    """What of a run counts when two are compared."""
    return run.verdict, run.execution.exit_code, _ADDRESS.sub("0x", run.execution.output)


class _Pass:
    """One comparison trajectory over one order of the candidates."""

    def __init__(
        self,
        task: Task,
        context: Context,
        order: Sequence[PatchClass],
        sandbox: Sandbox,
        model: Model,
        number: int,
        seed: int,
        limits: Limits,
        limiter: anyio.CapacityLimiter,
        symbols: Symbols,
        recorder: Recorder,
        probes: Sequence[Probe],
    ) -> None:
        self._classes = dict(zip(LETTERS, order, strict=False))
        self._sandbox = sandbox
        self._model = model
        self._name = f"comparison-{number}"
        self._seed = seed
        self._limits = limits
        self._limiter = limiter
        self._symbols = symbols
        self._recorder = recorder
        self._rounds: list[ComparisonRound] = []
        self._probes = probes
        self._told_apart = bool(probes)
        self._system = system_message(task.repository, context.text, task.issue, model.profile)

    async def run(self, turns: int) -> ComparisonPass:
        profile = self._model.profile
        diffs = {letter: plain_diff(c.patch) for letter, c in self._classes.items()}
        letters = {c.id: letter for letter, c in self._classes.items()}
        seen = [(p.call, p.on_unedited, {letters[c]: p.outputs[c] for c in letters}) for p in self._probes]
        messages = [Message("system", self._system), Message("user", opening(profile, diffs, seen))]
        small = profile.script_style == "asserts"
        asking_letter = False
        for turn in range(turns):
            last = turn + 2 >= turns  # of the answer after this one
            try:
                completion = await self._ask(messages, turn)
            except ModelError as error:
                return self._ended(None, f"The model failed: {error}")
            text = completion.text
            probe = ScriptProblem("") if asking_letter else read_probe(text, self._symbols)
            letter = None if isinstance(probe, Script) else read_choice(text, [*self._classes], profile)
            if letter is not None and (asking_letter or not small):
                self._record(turn, messages, completion, Outcome.CHOSE, "")
                return self._chosen(letter, text)
            if isinstance(probe, Script):
                runs = await self._execute(probe.source)
                shown = {letter: runs[c.id] for letter, c in self._classes.items()}
                different = len({behaviour(run) for run in shown.values()}) > 1
                self._told_apart = self._told_apart or different
                asking_letter = small and (different or last)
                reply = observed(profile, runs[UNEDITED_TREE], shown, last=last, different=different)
                outcome = Outcome.COMPARED
            else:
                problem = probe.message or "Your answer named none of the candidates."
                asking_letter = small and (asking_letter or last)
                reply = unreadable(profile, problem, [*self._classes], last=asking_letter if small else last)
                outcome = Outcome.UNREADABLE
            self._record(turn, messages, completion, outcome, reply)
            messages += [Message("assistant", text), Message("user", reply)]
        return self._ended(None, "Its turns ended without a choice.")

    async def _ask(self, messages: Sequence[Message], turn: int) -> Completion:
        sampling = Sampling(0.0, 1.0, self._model.profile.script_tokens, self._seed)
        request = Request(tuple(messages), sampling, Stage.COMPARISON, self._name, turn)
        return (await self._model.complete(request))[0]

    async def _execute(self, source: str) -> dict[ClassId, ScriptRun]:
        runs: dict[ClassId, ScriptRun] = {}

        async def one(column: ClassId, patch: Patch) -> None:
            async with self._limiter:
                try:
                    runs[column] = await execute(self._sandbox, source, patch, self._limits)
                except PatchRejected as error:
                    runs[column] = not_run(f"not run: the patch does not apply ({error})")

        columns = {UNEDITED_TREE: UNEDITED, **{c.id: c.patch for c in self._classes.values()}}
        await side_by_side(partial(one, column, patch) for column, patch in columns.items())
        ordered = {column: runs[column] for column in columns}
        self._rounds.append(ComparisonRound(source, ordered))
        return ordered

    def _chosen(self, letter: str, text: str) -> ComparisonPass:
        if not self._told_apart:
            return self._ended(None, "No script that was run showed a difference between the candidates.")
        return self._ended(self._classes[letter].id, " ".join(text.split())[:1_000])

    def _ended(self, choice: ClassId | None, reason: str) -> ComparisonPass:
        return ComparisonPass(tuple(c.id for c in self._classes.values()), tuple(self._rounds), choice, reason)

    def _record(
        self, turn: int, messages: Sequence[Message], completion: Completion, outcome: Outcome, reply: str
    ) -> None:
        asked = messages[-1].content
        self._recorder.turn(Turn(Stage.COMPARISON, self._name, turn, asked, completion, outcome, reply))
