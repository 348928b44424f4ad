"""The comparison trajectory: writes scripts that tell the shortlisted classes apart, sees what they print, and chooses.

It runs twice, the second time with every candidate in another place. Where both passes agree, that is the choice;
where they do not, further passes in other orders follow until one candidate is sure of a majority of `MOST_PASSES`, or
none can have one. Each place is given to each in turn, so that a judge that picks by place decides nothing
(docs/decisions/0021).

A pass counts as undecided when its answers cannot be read, when it names none of the candidates, when its turns end,
when the model fails, and when no executed script has shown a difference in behaviour: an opinion about diffs alone is
no evidence here. `choose` says what a choice may overrule.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations

import anyio

from agent.context.gather import Context
from agent.errors import ModelError
from agent.model.base import Completion, Message, Model, Profile, Request, Sampling, Stage, seed_of
from agent.prompts.shared import system_message
from agent.snippet import Script, ScriptProblem, Symbols, code_blocks, read_script
from agent.task import Task
from agent.trajectory import Outcome, Recorder, Turn
from sandbox.base import UNEDITED, Limits, Patch, Sandbox, digest_of
from sandbox.errors import PatchRejected
from sandbox.script import ScriptRun
from selection.base import UNEDITED_TREE, ClassId, Comparison, ComparisonPass, ComparisonRound, PatchClass, Probe
from selection.execute import execute, not_run, side_by_side
from selection.outputs import behaviour
from selection.plain import plain_diff
from selection.prompts.comparison import LETTERS, observed, opening, unreadable

MOST_PASSES = 6
"""Even, and each place goes to each candidate in turn: a judge that goes by places gives none more than half."""

_CHOICE = re.compile(r"^\W*CHOICE\W+(?:candidate\s+)?([A-Z])\b", re.IGNORECASE | re.MULTILINE)
_LETTER = re.compile(
    r"^\W*(?:the\s+)?(?:answer\W+(?:is\W+)?)?(?:candidate\s+([A-Z])\b|([A-Z])[ \t]*(?:[^\w\s']|$))",
    re.IGNORECASE | re.MULTILINE,
)


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
    most: int = MOST_PASSES,
) -> Comparison:
    """Compare the classes, given best first, in two to `most` passes, or in one. Probes that separate them are shown
    first, and count as an executed difference. Raises DiskFull."""
    limiter = anyio.CapacityLimiter(max(1, parallel))
    symbols = await anyio.to_thread.run_sync(Symbols, context.tree, context.paths)
    diffs = {c.id: await anyio.to_thread.run_sync(plain_diff, c.patch, context.tree) for c in shortlist}
    seen = told_apart(probes, shortlist)
    orders = orders_of(shortlist, seed)
    passes: dict[int, ComparisonPass] = {}

    async def one(number: int) -> None:
        trajectory = _Pass(
            task, context, orders[number], diffs, sandbox, model, number, seed, limits, limiter, symbols, recorder, seen
        )
        passes[number] = await trajectory.run(turns)

    await side_by_side([partial(one, number) for number in range(min(2, most))])
    while len(passes) < most and not (settled(choices_of(passes)) or any(done.failed for done in passes.values())):
        await one(len(passes))
    choices = choices_of(passes)
    agreed = majority(choices)
    recorder.note("comparison", {"choices": choices, "agreed": agreed})
    return Comparison(tuple(passes[number] for number in sorted(passes)), agreed)


def choices_of(passes: Mapping[int, ComparisonPass]) -> list[ClassId | None]:
    return [passes[number].choice for number in sorted(passes)]


def majority(choices: Sequence[ClassId | None]) -> ClassId | None:
    """The class that more than half of the passes name."""
    named, count = Counter(choices).most_common(1)[0]
    return named if 2 * count > len(choices) else None


def settled(choices: Sequence[ClassId | None]) -> bool:
    """Whether further passes can change nothing, or are not worth it: the first two agree, if only in naming none."""
    if len(choices) == 2 and choices[0] == choices[1]:
        return True
    leader = max(Counter(choice for choice in choices if choice is not None).values(), default=0)
    return 2 * leader > MOST_PASSES or 2 * (leader + MOST_PASSES - len(choices)) <= MOST_PASSES


def orders_of(shortlist: Sequence[PatchClass], seed: int) -> list[tuple[PatchClass, ...]]:
    """The order of each pass: shuffled, then with every class one place further each time; a new round is reversed."""
    first = shuffled(shortlist, seed)
    turned = [first[k:] + first[:k] for k in range(len(first))]
    rounds = [*turned, *(order[::-1] for order in turned)]
    return [rounds[number % len(rounds)] for number in range(MOST_PASSES)]


def shuffled(shortlist: Sequence[PatchClass], seed: int) -> tuple[PatchClass, ...]:
    """The classes in an order that depends on the seed and the patches alone, not on their votes."""
    return tuple(sorted(shortlist, key=lambda c: digest_of(str(seed), "comparison", c.patch)))


def told_apart(probes: Sequence[Probe], shortlist: Sequence[PatchClass]) -> tuple[Probe, ...]:
    """The probes to show: one for each pair that any tells apart, the best pair's first, then the most telling.

    A probe without an output of every class comes last, but stands for a pair that no other tells apart."""
    ids = [c.id for c in shortlist]
    given = {one.id: {c: one.outputs[c] for c in ids if c in one.outputs} for one in probes}
    telling = sorted(
        (one for one in probes if len(set(given[one.id].values())) > 1),
        key=lambda one: (-len(given[one.id]), -len(set(given[one.id].values())), one.varied, len(one.call)),
    )
    first: list[Probe] = []
    for pair in combinations(ids, 2):
        apart = [one for one in telling if len({given[one.id].get(c) for c in pair} - {None}) > 1]
        if apart and not any(one in first for one in apart):
            first.append(apart[0])
    return (*first, *(one for one in telling if one not in first))


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


class _Pass:
    """One comparison trajectory over one order of the candidates."""

    def __init__(
        self,
        task: Task,
        context: Context,
        order: Sequence[PatchClass],
        diffs: Mapping[ClassId, str],
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
        # With two candidates the third pass has the order of the second again: drawn anew, it is another opinion.
        hot = (model.profile.temperature, model.profile.top_p) if number > 1 else (0.0, 1.0)
        self._sampling = Sampling(*hot, model.profile.script_tokens, seed_of(seed, task.issue, self._name))
        self._diffs = diffs
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
        diffs = {letter: self._diffs[c.id] for letter, c in self._classes.items()}
        letters = {c.id: letter for letter, c in self._classes.items()}
        seen = [
            (p.call, p.on_unedited, {letters[c]: p.outputs[c] for c in letters if c in p.outputs}) for p in self._probes
        ]
        messages = [Message("system", self._system), Message("user", opening(profile, diffs, seen))]
        small = profile.script_style == "asserts"
        asking_letter = False
        for turn in range(turns):
            last = turn + 2 >= turns  # of the answer after this one
            try:
                completion = await self._ask(messages, turn)
            except ModelError as error:
                return replace(self._ended(None, f"The model failed: {error}"), failed=True)
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
        request = Request(tuple(messages), self._sampling, Stage.COMPARISON, self._name, turn)
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
        named = self._classes[letter].id
        if not self._told_apart:
            reason = "No script that was run showed a difference between the candidates."
            return replace(self._ended(None, reason), named=named)
        return replace(self._ended(named, " ".join(text.split())[:1_000]), named=named)

    def _ended(self, choice: ClassId | None, reason: str) -> ComparisonPass:
        return ComparisonPass(tuple(c.id for c in self._classes.values()), tuple(self._rounds), choice, reason)

    def _record(
        self, turn: int, messages: Sequence[Message], completion: Completion, outcome: Outcome, reply: str
    ) -> None:
        asked = messages[-1].content
        self._recorder.turn(Turn(Stage.COMPARISON, self._name, turn, asked, completion, outcome, reply))
