"""A draw: some candidates and scripts of a recorded task, as if a run had made just these.

Candidates come with the scripts of their own authors and with those made from the issue; scripts without a known author
are drawn freely. What a draw shows is what a run would know: no label is in it.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from agent.trajectory import ISSUE, CandidateId, ScriptId
from sandbox.script import Verdict
from selection.base import ClassId, Probe, Regressions
from selection.consensus import agreement_of, by_agreement, in_doubt
from selection.lines import changed_lines, lines_decide, tie_break
from selection.pool import PoolCandidate, PoolPass, PoolProbe, PoolScript, PoolTask
from selection.regression import vetoes
from selection.vote import Standing, standings
from selection.weights import Ballots, script_weights

Row = Mapping[ClassId, Verdict]
"""The verdicts of one script."""
Compared = Mapping[tuple[frozenset[ClassId], bool], tuple[PoolPass, ...]]
"""The classes of a comparison, and whether it was of a single pass -> its passes."""


@dataclass(frozen=True)
class Member:
    """A drawn candidate that is in a class, without its label."""

    id: CandidateId
    class_id: ClassId
    patch: str
    passes_own_script: bool | None
    source: str = ""

    @cached_property
    def atoms(self) -> frozenset[str]:
        """See `changed_lines`."""
        return changed_lines(self.patch)


@dataclass(frozen=True)
class _Ballots(Ballots):
    """Ballots whose electorates are made up once: the vote asks for each of them once a class."""

    @cached_property
    def _electorates(self) -> dict[ScriptId, tuple[ClassId, ...]]:
        everyone = tuple(self.sizes)
        return {s: Ballots.electorate(self, s) if self.barred.get(s) else everyone for s in self.verdicts}

    def electorate(self, script: ScriptId) -> tuple[ClassId, ...]:
        return self._electorates[script]


@dataclass(frozen=True)
class Draw:
    """What a method may know."""

    count: int
    """Candidates drawn, those without a patch included."""
    classes: Mapping[ClassId, tuple[Member, ...]]
    """In the order of their first members; never an empty one."""
    scripts: tuple[PoolScript, ...]
    """All that were drawn."""
    rows: Mapping[ScriptId, Row]
    """Of the checked scripts: seen failing on the unedited tree, or guards."""
    unchecked: Mapping[ScriptId, Row]
    """Of the others, as far as they were run."""
    barred: Mapping[ScriptId, frozenset[ClassId]]
    """The classes that a script's own author belongs to."""
    passing: int
    broken: Mapping[ClassId, int]
    probes: tuple[PoolProbe, ...]
    judged: Mapping[tuple[ClassId, ClassId], float]
    """The chance that the first is better; the mean of both orders where both were judged."""
    compared: Compared

    @cached_property
    def lengths(self) -> dict[ClassId, int]:
        """Characters of the patch that stands for each class."""
        return {c: len(members[0].patch) for c, members in self.classes.items()}

    @cached_property
    def ties(self) -> dict[ClassId, float]:
        """What decides between classes that the votes rank alike; less is better."""
        patches = {c: [member.patch for member in members] for c, members in self.classes.items()}
        sources = [member.source for members in self.classes.values() for member in members]
        return tie_break(patches, shared=lines_decide(sources, voted=bool(self.rows)))

    @cached_property
    def votes(self) -> dict[ClassId, int]:
        """Checked scripts that pass each class, its own authors' included."""
        return {c: sum(row[c] is Verdict.PASSED for row in self.rows.values()) for c in self.classes}

    @cached_property
    def alike(self) -> dict[ClassId, tuple[Verdict, ...]]:
        """How each class behaves: its verdicts from all checked scripts."""
        return {c: tuple(row[c] for row in self.rows.values()) for c in self.classes}

    @cached_property
    def ballots(self) -> Ballots:
        """As `selection.weights.ballots_of` makes them of a run: equal sources have one ballot."""
        digests = {script.id: script.digest for script in self.scripts}
        same: dict[str, list[ScriptId]] = {}
        for script in self.rows:
            same.setdefault(digests[script] or f"id {script}", []).append(script)
        barred = {
            ids[0]: frozenset(c for c in self.barred[ids[0]] if all(c in self.barred[s] for s in ids[1:]))
            for ids in same.values()
        }
        sizes = {c: len(members) for c, members in self.classes.items()}
        examples = frozenset(script.id for script in self.scripts if script.trajectory == ISSUE) & barred.keys()
        return _Ballots(sizes, {script: self.rows[script] for script in barred}, barred, examples)

    @cached_property
    def least_broken(self) -> frozenset[ClassId]:
        """The classes that the repository's tests leave, by the veto of `selection.regression`."""
        if not any(self.broken.get(c) for c in self.classes):
            return frozenset(self.classes)
        names = {c: ("test",) * self.broken.get(c, 0) for c in self.classes}
        out, _ = vetoes(Regressions("", (), (), names), list(self.classes))
        return frozenset(c for c in self.classes if c not in out)

    @cached_property
    def ranking(self) -> tuple[Standing, ...]:
        """Best first, as `selection.choose` ranks before a comparison. Empty without a class."""
        return tuple(by_agreement(self._voted, self.agreement))

    @cached_property
    def agreement(self) -> dict[ClassId, float]:
        """The consensus of the leader's twins by the probes; {} where there are none."""
        if not self.probes or not self._voted:
            return {}
        known = [Probe(p.id, "", "", ScriptId(p.origin), False, p.outputs, "") for p in self.probes]
        return agreement_of(self._voted, in_doubt(self._voted, 0), known)

    @cached_property
    def _voted(self) -> list[Standing]:
        everyone = standings(self.ballots, script_weights(self.ballots), self.ties)
        return [standing for standing in everyone if standing.id in self.least_broken]


class Drawer:
    """Makes draws of one task; knows what needs to be looked up once."""

    def __init__(self, task: PoolTask) -> None:
        self.task = task
        self.size = len(task.candidates)
        authors = {author for one in task.candidates for author in _authors(one, task)}
        self.owned = [s for s in task.scripts if s.trajectory in authors]
        """Scripts that come with the candidates of their authors."""
        self.checked = task.checked
        self._votes = {s.id for s in self.checked}
        self.given = [s for s in task.scripts if s.trajectory == ISSUE]
        self._of_issue = {s.id for s in self.given}
        known = {s.id for s in (*self.owned, *self.given)}
        self.free = [s for s in task.scripts if s.id not in known]
        self._authors = [_authors(one, task) for one in task.candidates]
        self._members = [_member(one) for one in task.candidates]
        self._judged = _judged(task)
        self._compared = {(frozenset(one.classes), one.single): one.passes for one in task.comparisons}

    def whole(self, candidates: int, scripts: int) -> bool:
        """Whether there is only one draw of this size."""
        return candidates >= self.size and scripts >= len(self.free)

    def sample(self, rng: random.Random, candidates: int, scripts: int) -> tuple[list[int], list[PoolScript]]:
        """Numbers of candidates, in a random order, and free scripts; all where there are fewer."""
        picked = rng.sample(range(self.size), min(candidates, self.size))
        return picked, rng.sample(self.free, min(scripts, len(self.free)))

    def draw(self, picked: Sequence[int], free: Iterable[PoolScript]) -> Draw:
        """The draw of these candidates, with the scripts that go with them and these free ones."""
        classes: dict[ClassId, list[Member]] = {}
        authors: dict[str, set[ClassId]] = {}
        seeded: dict[ScriptId, set[ClassId]] = {}
        for number in picked:
            member = self._members[number]
            if member is not None:
                classes.setdefault(member.class_id, []).append(member)
                seed = self.task.candidates[number].script
                if seed is not None and seed not in self._of_issue:
                    seeded.setdefault(seed, set()).add(member.class_id)
            for author in self._authors[number]:
                authors.setdefault(author, set()).update(() if member is None else (member.class_id,))
        scripts = (*self.given, *(s for s in self.owned if s.trajectory in authors), *free)
        cells = self.task.cells
        rows = {s.id: cells[s.id] for s in scripts if s.id in self._votes}
        origins = {ISSUE, "", *(s.id for s in scripts)}
        return Draw(
            count=len(picked),
            classes={c: tuple(members) for c, members in classes.items()},
            scripts=scripts,
            rows=rows,
            unchecked={s.id: cells[s.id] for s in scripts if s.id in cells and s.id not in rows},
            barred={s.id: frozenset({*authors.get(s.trajectory, ()), *seeded.get(s.id, ())}) for s in scripts},
            passing=self.task.passing,
            broken=self.task.broken,
            probes=tuple(probe for probe in self.task.probes if probe.origin in origins),
            judged=self._judged,
            compared=self._compared,
        )

    def draws(self, candidates: int, scripts: int, most: int, seed: int) -> Iterator[tuple[list[int], Draw]]:
        """Draws of a size, each with the numbers of its candidates: one where only one is possible, else `most`."""
        rng = random.Random(f"{seed} {self.task.id} {candidates} {scripts}")  # noqa: S311 - draws, no secrets
        for _ in range(1 if self.whole(candidates, scripts) else most):
            picked, free = self.sample(rng, candidates, scripts)
            yield picked, self.draw(picked, free)

    def right(self, picked: Sequence[int]) -> dict[ClassId, float]:
        """Share of the drawn members of each class that are right; 0 or 1 unless labels contradict each other."""
        labels: dict[ClassId, list[bool]] = {}
        for number in picked:
            one = self.task.candidates[number]
            if one.class_id is not None:
                labels.setdefault(one.class_id, []).append(one.resolved)
        return {c: sum(values) / len(values) for c, values in labels.items()}


def _authors(candidate: PoolCandidate, task: PoolTask) -> frozenset[str]:
    """The trajectories whose scripts are the candidate's own: its maker, and who wrote the script it was made with."""
    written = {s.trajectory for s in task.scripts if s.id == candidate.script} if candidate.script else set[str]()
    return frozenset({candidate.trajectory, *written} - {"", ISSUE})


def _member(candidate: PoolCandidate) -> Member | None:
    if candidate.class_id is None:
        return None
    return Member(candidate.id, candidate.class_id, candidate.patch, candidate.passes_own_script, candidate.source)


def _judged(task: PoolTask) -> dict[tuple[ClassId, ClassId], float]:
    heard: dict[tuple[ClassId, ClassId], list[float]] = {}
    for one in task.judgements:
        heard.setdefault((one.first, one.second), []).append(one.probability)
        heard.setdefault((one.second, one.first), []).append(1 - one.probability)
    return {pair: sum(values) / len(values) for pair, values in heard.items()}
