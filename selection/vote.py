"""The vote: how the classes stand after all test scripts have spoken.

The issue's own examples come first: no model misread them, and 98 % of them accept the right fix, where 93 % of a small
model's scripts do. Among the classes that pass the most of them, two things make one likely right: the weighted share
of scripts that pass it, and how many candidates behave like it, that is, got the same verdict from every script. Their
product ranks, the "dual agreement" of CodeT (arXiv 2207.10397), with an exponent. A script has no vote on its own
author's class, so shares are over different electorates; they are not shrunk towards a mean, which cost 0.02 to 0.05 of
the gap (tuning, authors assigned at random).

Measured with `bestpatch study` on the tuning halves of recorded pools, see `docs/study.md`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent.trajectory import ScriptId
from sandbox.script import Verdict
from selection.base import ClassId
from selection.weights import Ballots

NUMBERS = 1.5
"""The exponent of the number of candidates that behave alike. On tuning, with 8, 16 and 32 candidates, 1.5 recovers
0.004, 0.009 and 0.06 more of the gap than 1 on trajectories of a 1.5B model, 0.000 to 0.003 more on plain samples."""


@dataclass(frozen=True)
class Standing:
    """Where a class stands."""

    id: ClassId
    votes: float
    """Weighted share, 0 to 1, of the scripts with a vote on this class that pass it.

    Where none has one, the mean over the other classes; where no script weighs anything, over all votes by others
    than the authors; 0.5 where there are none of those either.
    """
    voters: int
    """Scripts that weigh something and have a vote on this class."""
    alike: int
    """Candidates in the classes that no script can tell from this one, itself included."""
    twin: ClassId
    """The first class of those that no script can tell from this one; equal for all of them."""
    size: int
    unmet: int = 0
    """Examples of the issue that it does not pass."""

    @property
    def score(self) -> float:
        """Dual agreement. Rounded, so that the order of summing cannot decide a tie."""
        return round(self.votes * self.alike**NUMBERS, 9)


def standings(
    ballots: Ballots, weights: Mapping[ScriptId, float], ties: Mapping[ClassId, float]
) -> tuple[Standing, ...]:
    """All classes, best first: by the issue's examples, score, candidates alike, size, `ties`, and their order.

    `ties`: what decides in the end; less is better (`selection.lines.tie_break`). Raises VotesIncomplete.
    """
    twins = _twins(ballots)
    alike = {c: sum(n for d, n in ballots.sizes.items() if twins[d] == twins[c]) for c in ballots.sizes}
    shares = {c: _share(ballots, weights, c) for c in ballots.sizes}
    known = [share for share, voters in shares.values() if voters] or _plain_votes(ballots) or [0.5]
    middle = sum(known) / len(known)
    rows = [
        # A class on which nobody but its authors could vote is neither praised nor blamed.
        Standing(c, share if voters else middle, voters, alike[c], twins[c], ballots.sizes[c], _unmet(ballots, c))
        for c, (share, voters) in shares.items()
    ]
    return tuple(sorted(rows, key=lambda s: (s.unmet, -s.score, -s.alike, -s.size, ties.get(s.id, 0.0))))


def margin(ranked: Sequence[Standing]) -> float:
    """How far the leader is ahead, 0 to 1: the part of its score that the best class unlike it lacks.

    1 without such a class. Neither one that passes fewer of the issue's examples is a rival, nor one that no script can
    tell from the leader: on the recorded pool 98 % of the leaders that tie only with such classes are right.
    """
    first = ranked[0]
    rival = next((s.score for s in ranked if s.twin != first.twin and s.unmet == first.unmet), None)
    if rival is None:
        return 1.0
    return max(0.0, first.score - rival) / first.score if first.score > 0 else 0.0


def _unmet(ballots: Ballots, c: ClassId) -> int:
    return sum(not ballots.passes(example, c) for example in ballots.examples)


def _share(ballots: Ballots, weights: Mapping[ScriptId, float], c: ClassId) -> tuple[float, int]:
    voting = [s for s in ballots.verdicts if weights.get(s, 0.0) > 0 and c in ballots.electorate(s)]
    total = sum(weights[s] for s in voting)
    return (sum(weights[s] for s in voting if ballots.passes(s, c)) / total if total else 0.0), len(voting)


def _plain_votes(ballots: Ballots) -> list[float]:
    nobody: frozenset[ClassId] = frozenset()
    return [
        float(ballots.passes(s, c))
        for s in ballots.verdicts
        for c in ballots.sizes
        if c not in ballots.barred.get(s, nobody)
    ]


def _twins(ballots: Ballots) -> dict[ClassId, ClassId]:
    first: dict[tuple[Verdict, ...], ClassId] = {}
    return {c: first.setdefault(tuple(verdict[c] for verdict in ballots.verdicts.values()), c) for c in ballots.sizes}
