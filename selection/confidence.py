"""How sure the selection is, from 0 to 1.

A logistic model of the votes, fitted on the tuning half of a recorded pool (small bugs, plain samples of a 1.5B model,
4 to 16 candidates and as many scripts), and two corrections by the issue's own examples, fitted on the tuning halves of
six pools of trajectories (the same bugs, a 1.5B and a 0.5B model, 4 to 32 candidates): they take its Brier score there
from 0.06 to 0.04 and from 0.15 to 0.09. `bestpatch study` shows the calibration, `docs/study.md` that of the other
halves. Real repositories are harder than these bugs, so read it as an upper bound until a pool of such tasks replaces
the fit. The corrections after these are not measured: they lower the confidence where something speaks against the
winner.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from selection.vote import Standing


@dataclass(frozen=True)
class Signals:
    """What the confidence is made of, all of the winning class."""

    votes: float
    """Weighted share of the scripts that pass it, 0 to 1."""
    voters: int
    """Scripts that weigh something and vote on it."""
    margin: float
    """The part of its score that the next class lacks, 0 to 1."""
    share: float
    """Candidates that behave like it, divided by one more than all: a single candidate agrees with nobody."""
    own_script: bool
    example: bool | None
    """It passes the issue's examples, one of which fails before the fix; False: it fails one; None: there is none."""
    broken: bool
    """It breaks tests of the repository (as all others do)."""
    agreed: bool | None
    """Whether the comparison chose it, in most of its passes; None where there was none."""


def confidence(signals: Signals) -> float:
    """An estimate of the probability that the winner is right."""
    z = -0.9 + 2.4 * signals.votes + 2.0 * signals.share
    z += 0.9 * signals.margin if signals.voters else -0.9
    if signals.example is not None:
        z += 0.7 if signals.example else -3.0
    if not signals.own_script:
        z -= 0.5
    if signals.broken:
        z -= 1.0
    if signals.agreed is not None:
        # A comparison is held only where the votes leave it open. Agreement with itself is some evidence.
        z += 0.3 if signals.agreed else -0.3
    return round(1 / (1 + math.exp(-z)), 3)


def met(winner: Standing, *, fails_before: bool) -> bool | None:
    """`Signals.example`. `fails_before`: whether an example of the issue was seen failing on the unedited tree."""
    return False if winner.unmet else True if fails_before else None
