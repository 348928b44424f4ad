"""When there are enough candidates: the leader of the votes is safe, or more would cost more than they are worth.

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


def steps_to(most: int, risk: float, worth: float | None = None) -> tuple[int, ...]:
    """Numbers of candidates, below `most`, after which it is asked whether there are enough: of 4, 8, 12, 16, 24,
    32, 48, ... those where the leader can be safe, none with a risk of 0. With a worth, all of them."""
    steps: list[int] = []
    step = FEWEST
    while (risk > 0 or worth is not None) and most - step >= FEWEST:
        if worth is not None or ahead(step, 0) >= 1 - risk:
            steps.append(step)
        step += max(FEWEST, 2 ** (step.bit_length() - 2))
    return tuple(steps)


def is_safe(chance: float, risk: float) -> bool:
    """Whether a leader with that chance is safe; never with a risk of 0, not even where the chance is rounded to 1."""
    return risk > 0 and chance >= 1 - risk


def gain(chance: float, worth: float) -> float:
    """What further candidates are worth at most: as much as a right patch, where the leader is not safe."""
    return (1 - chance) * worth


def costs_more(chance: float, worth: float | None, cost: float) -> bool:
    """Whether further candidates would cost more than they are worth. Never without a worth, nor with a cost of 0,
    which is that of tokens without a price."""
    return worth is not None and gain(chance, worth) < cost


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
