"""How far the confidence can be trusted: Brier score, reliability, and what abstaining on the least certain gives."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent.trajectory import ISSUE
from selection.base import ClassId
from selection.confidence import Signals, confidence, met
from selection.draws import Draw
from selection.methods.votes import leaders
from selection.study.record import AbstentionRecord, BinRecord, CalibrationRecord
from selection.vote import margin

BINS = 10
LEFT_OUT = tuple(step / 20 for step in range(11))
"""Shares of the tasks: 0 to 0.5."""


@dataclass(frozen=True)
class Certain:
    """A choice of `ours`: its confidence, and the chance that it is right; without a candidate it is certainly not."""

    confidence: float
    right: float
    made: bool


def certain(draw: Draw, right: Mapping[ClassId, float]) -> Certain:
    """The mean over the classes that tie for the lead."""
    if not draw.classes:
        return Certain(0.0, 0.0, made=False)
    tied = leaders(draw)
    sure = sum(confidence(_signals(draw, standing.id)) for standing in tied) / len(tied)
    return Certain(sure, sum(right[standing.id] for standing in tied) / len(tied), made=True)


def _signals(draw: Draw, c: ClassId) -> Signals:
    """As `selection.choose` gathers them, for a leader; a comparison is in no pool."""
    best = next(standing for standing in draw.ranking if standing.id == c)
    order = [best, *(standing for standing in draw.ranking if standing.id != c)]
    return Signals(
        votes=best.votes,
        voters=best.voters,
        margin=margin(order),
        share=best.alike / (sum(len(members) for members in draw.classes.values()) + 1),
        own_script=draw.classes[c][0].passes_own_script is not False,  # None: nobody's own script is known
        example=met(
            best, fails_before=any(s.trajectory == ISSUE and s.id in draw.rows and not s.guard for s in draw.scripts)
        ),
        broken=bool(draw.broken.get(c)),
        agreed=None,
    )


def calibration(tasks: Sequence[Sequence[Certain]], seed: int) -> CalibrationRecord:
    """Over the draws of all tasks; each task weighs the same."""
    made = [(one, 1 / len(draws)) for draws in tasks for one in draws if one.made]
    weight = sum(w for _, w in made)
    if not made:
        return CalibrationRecord(brier=None, baseline=None, bins=(), abstention=())
    mean = sum(one.right * w for one, w in made) / weight
    return CalibrationRecord(
        brier=sum(_brier(one.confidence, one.right) * w for one, w in made) / weight,
        baseline=sum(_brier(mean, one.right) * w for one, w in made) / weight,
        bins=_bins(made),
        abstention=_abstention(tasks, seed),
    )


def _brier(sure: float, right: float) -> float:
    """The expected squared error where the outcome is right with that chance."""
    return right * (1 - sure) ** 2 + (1 - right) * sure**2


def _bins(made: Sequence[tuple[Certain, float]]) -> tuple[BinRecord, ...]:
    rows: list[BinRecord] = []
    for number in range(BINS):
        inside = [(one, w) for one, w in made if min(BINS - 1, int(one.confidence * BINS)) == number]
        if inside:
            weight = sum(w for _, w in inside)
            rows.append(
                BinRecord(
                    low=number / BINS,
                    high=(number + 1) / BINS,
                    choices=len(inside),
                    confidence=sum(one.confidence * w for one, w in inside) / weight,
                    right=sum(one.right * w for one, w in inside) / weight,
                )
            )
    return tuple(rows)


def _abstention(tasks: Sequence[Sequence[Certain]], seed: int) -> tuple[AbstentionRecord, ...]:
    """One draw of every task is one run over the set; the curve is the mean of the runs."""
    runs = max(len(draws) for draws in tasks)
    rng = random.Random(f"ties {seed}")  # noqa: S311
    least, perfect = [0.0] * len(LEFT_OUT), [0.0] * len(LEFT_OUT)
    for number in range(runs):
        chosen = [draws[number % len(draws)] for draws in tasks]
        rng.shuffle(chosen)  # equal confidences leave in any order
        by_confidence = [one.right for one in sorted(chosen, key=lambda one: one.confidence)]
        by_outcome = sorted(by_confidence)
        for place, share in enumerate(LEFT_OUT):
            gone = int(share * len(chosen))
            rest = len(chosen) - gone
            least[place] += sum(by_confidence[gone:]) / rest / runs
            perfect[place] += sum(by_outcome[gone:]) / rest / runs
    return tuple(
        AbstentionRecord(left_out=share, least_certain=a, oracle=b)
        for share, a, b in zip(LEFT_OUT, least, perfect, strict=True)
    )
