"""When there are enough candidates: the leader of the votes is safe.

Candidates are sampled in growing steps. After each the candidates that behave like the leader are counted against the
largest other group, each as often as its share of the votes says, and sampling ends once the leader's is the more
frequent one with all but the accepted risk: adaptive consistency (arXiv 2305.11860), weighted by votes. Groups that
are only counted stop too early where scripts are poor and the most frequent behaviour is wrong
(docs/decisions/0018-when-to-stop.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from selection.vote import Standing

FEWEST = 4
"""Candidates of a step, at least: fewer would leave a server's batch empty."""


def steps_to(most: int, risk: float) -> tuple[int, ...]:
    """Numbers of candidates, below `most`, after which it is asked whether the leader is safe: of 4, 8, 12, 16, 24,
    32, 48, ... those where it can be. None with a risk of 0."""
    steps: list[int] = []
    step = FEWEST
    while risk > 0 and most - step >= FEWEST:
        if ahead(step, 0) >= 1 - risk:
            steps.append(step)
        step += max(FEWEST, 2 ** (step.bit_length() - 2))
    return tuple(steps)


def lead(ranked: Sequence[Standing], scripts: int) -> float:
    """The chance that the leader's group is the most frequent one, with votes as weights.

    `ranked`: best first; `scripts`: with a row in the vote matrix. 0 without either: where no script speaks, classes
    that cannot be told apart do not agree. A class that fails more of the issue's examples is no rival.
    """
    if not ranked or not scripts:
        return 0.0
    leader = ranked[0]
    rivals = [s for s in ranked if s.twin != leader.twin and s.unmet == leader.unmet]
    return ahead(_weighed(leader), max(map(_weighed, rivals), default=0))


def ahead(leader: int, rival: int) -> float:
    """The chance that the leader is the more frequent of the two, with a uniform prior (arXiv 2305.11860).

    P(Beta(leader + 1, rival + 1) > 1/2), exactly.
    """
    n = leader + rival + 1
    return sum(math.comb(n, j) for j in range(leader + 1)) / 2**n


def _weighed(standing: Standing) -> int:
    return round(standing.votes * standing.alike)
