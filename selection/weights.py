"""How much each test script's vote counts: nothing if it separates nothing, else by its agreement with the others.

The weight follows ACES (arXiv 2604.03922): a script is judged by how well its own verdicts order the classes the way
all *other* scripts together order them. With `share[c]` the share of the other scripts that pass class c, over the
pairs of a class p that the script passes and a class n that it does not:

    auc    = mean over pairs of [share[p] > share[n]] + 0.5 [share[p] = share[n]]
    weight = FLOOR + (1 - FLOOR) * max(0, 2 auc - 1)

A script without such a pair separates nothing and weighs 0. `FLOOR` departs from ACES, which has 0: where few scripts
vote, one right script among wrong ones would lose all say. On the tuning half of the recorded pool (`bestpatch
study`, 8 candidates and 8 scripts) a floor of 0 recovers 0.78 of the gap, every floor from 0.1 to 1 recovers
0.82 to 0.83: so the agreement is a tie-breaker, not the judge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.trajectory import ISSUE, ScriptId, TestScript
from sandbox.script import Verdict
from selection.base import ClassId, PatchClass, VoteMatrix
from selection.errors import VotesIncomplete

FLOOR = 0.5


@dataclass(frozen=True)
class Ballots:
    """What voting needs to know, as plain values: classes in order, their sizes, verdicts, and who may not vote."""

    sizes: Mapping[ClassId, int]
    """Members of each class, in the classes' order."""
    verdicts: Mapping[ScriptId, Mapping[ClassId, Verdict]]
    barred: Mapping[ScriptId, frozenset[ClassId]] = field(default_factory=dict[ScriptId, frozenset[ClassId]])
    """The classes that a script's own author belongs to."""
    examples: frozenset[ScriptId] = frozenset()
    """The scripts that the issue's own examples are."""

    def electorate(self, script: ScriptId) -> tuple[ClassId, ...]:
        """The classes that the script votes on.

        All of them where every one is its author's (one script seeded several trajectories): it favours none then.
        """
        barred = self.barred.get(script, frozenset())
        return tuple(c for c in self.sizes if c not in barred) or tuple(self.sizes)

    def passes(self, script: ScriptId, on: ClassId) -> bool:
        """Whether the script's vote is for the class. Raises VotesIncomplete."""
        try:
            return self.verdicts[script][on] is Verdict.PASSED
        except KeyError as error:
            raise VotesIncomplete(f"no verdict of script {script} on class {on}") from error


def ballots_of(matrix: VoteMatrix, without: frozenset[ClassId] = frozenset()) -> Ballots:
    """The ballots of a matrix over its classes, save those in `without`. Equal sources have one ballot.

    Raises VotesIncomplete.
    """
    classes = [c for c in matrix.classes if c.id not in without]
    authors: dict[str, list[TestScript]] = {}
    for script in matrix.scripts:
        authors.setdefault(script.source, []).append(script)
    verdicts: dict[ScriptId, Mapping[ClassId, Verdict]] = {}
    barred: dict[ScriptId, frozenset[ClassId]] = {}
    for same in authors.values():
        first = same[0].id
        try:
            verdicts[first] = {c.id: matrix.verdict(first, c.id) for c in classes}
        except KeyError as error:
            raise VotesIncomplete(f"the matrix has no cell {error}") from error
        # A script that two authors wrote independently is barred only from a class that both of them belong to.
        barred[first] = frozenset(c.id for c in classes if all(is_own(script, c) for script in same))
    examples = frozenset(script.id for script in matrix.scripts if script.trajectory == ISSUE) & verdicts.keys()
    return Ballots({c.id: len(c.members) for c in classes}, verdicts, barred, examples)


def is_own(script: TestScript, patch_class: PatchClass) -> bool:
    """Whether the script's author made a member of the class, alone or by handing the script on to an editing one.

    Never so for an example of the issue: no candidate's author wrote it, whoever was shown it.
    """
    if script.trajectory == ISSUE:
        return False
    return script.trajectory in patch_class.trajectories or any(
        member.script is not None and (member.script.id == script.id or member.script.trajectory == script.trajectory)
        for member in patch_class.members
    )


def script_weights(ballots: Ballots, floor: float = FLOOR) -> dict[ScriptId, float]:
    """A weight in [0, 1] for every script of the ballots, in their order. Raises VotesIncomplete."""
    electorates = {script: ballots.electorate(script) for script in ballots.verdicts}
    votes = {s: {c: ballots.passes(s, c) for c in electorate} for s, electorate in electorates.items()}
    separating = [s for s, vote in votes.items() if len(set(vote.values())) == 2]
    for_, of = dict.fromkeys(ballots.sizes, 0), dict.fromkeys(ballots.sizes, 0)
    for script in separating:
        for c, vote in votes[script].items():
            for_[c], of[c] = for_[c] + vote, of[c] + 1

    weights = dict.fromkeys(ballots.verdicts, 0.0)
    for script in separating:
        share = {c: (for_[c] - vote) / (of[c] - 1) if of[c] > 1 else 0.5 for c, vote in votes[script].items()}
        pairs = [
            (share[p] > share[n]) + 0.5 * (share[p] == share[n])
            for p, p_vote in votes[script].items()
            if p_vote
            for n, n_vote in votes[script].items()
            if not n_vote
        ]
        auc = sum(pairs) / len(pairs)
        weights[script] = floor + (1 - floor) * max(0.0, 2 * auc - 1)
    return weights
