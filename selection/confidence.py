"""How sure the selection is, from 0 to 1."""

from __future__ import annotations

import math
from dataclasses import dataclass


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
    """Share of all candidates that behave alike."""
    own_script: bool
    broken: bool
    """It breaks tests of the repository (as all others do)."""
    agreed: bool | None
    """Whether both passes of the comparison chose it; None where there was none."""


def confidence(signals: Signals) -> float:
    """An estimate of the probability that the winner is right; see the module for where its numbers come from."""
    z = -2.0 + 2.0 * signals.votes + 1.0 * signals.margin + 1.5 * signals.share
    if signals.voters == 0:
        z -= 0.7
    if not signals.own_script:
        z -= 0.5
    if signals.broken:
        z -= 1.0
    if signals.agreed is not None:
        z += 0.3 if signals.agreed else -0.3
    return round(1 / (1 + math.exp(-z)), 3)
