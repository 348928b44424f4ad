"""Splits a budget of candidates over the sources of a pool so that `ours` scores best.

Hill-climbing: from the even split, the one move of a candidate from one source to another that helps most, until none
helps. Every split sees the same random order of candidates and scripts, so that differences are no luck of the draw.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import partial

from selection.draws import Drawer
from selection.methods.votes import ours
from selection.study.record import AllocationRecord
from selection.study.side_by_side import Each
from selection.study.statistics import interval, resamples, sums

ORDERS = 20

Split = tuple[int, ...]


def allocate(
    drawers: Sequence[Drawer], candidates: int, scripts: int, draws: int, seed: int, each: Each = map
) -> AllocationRecord:
    """The best split found of `candidates`; a source that has fewer for a task gives all of them."""
    sources = sorted({c.source for drawer in drawers for c in drawer.task.candidates})
    known: dict[Split, list[float]] = {}

    def scores(split: Split) -> list[float]:
        if split not in known:
            counts = dict(zip(sources, split, strict=True))
            known[split] = list(each(partial(_score, counts, scripts, min(draws, ORDERS), seed), drawers))
        return known[split]

    def mean(split: Split) -> float:
        return sum(scores(split)) / len(drawers)

    even = tuple(candidates // len(sources) + (n < candidates % len(sources)) for n in range(len(sources)))
    best = even
    while True:
        moved = max(_moves(best), key=mean, default=best)
        if mean(moved) <= mean(best) + 1e-9:
            break
        best = moved
    gains = [a - b for a, b in zip(scores(best), scores(even), strict=True)]
    samples = resamples(len(drawers), seed)
    single = {s: mean(tuple(candidates * (s == other) for other in sources)) for s in sources}
    return AllocationRecord(
        candidates=candidates,
        split=dict(zip(sources, best, strict=True)),
        score=mean(best),
        even_split=dict(zip(sources, even, strict=True)),
        even_score=mean(even),
        gain_interval=interval([total / len(drawers) for total in sums(gains, samples)]),
        single=single,
    )


def _moves(split: Split) -> list[Split]:
    """Every split that one candidate of another source makes."""
    return [
        tuple(n - (place == giver) + (place == taker) for place, n in enumerate(split))
        for giver, count in enumerate(split)
        if count
        for taker in range(len(split))
        if taker != giver
    ]


def _score(split: Mapping[str, int], scripts: int, orders: int, seed: int, drawer: Drawer) -> float:
    """The mean score of `ours` on a task."""
    total = 0.0
    for number in range(orders):
        rng = random.Random(f"allocate {seed} {drawer.task.id} {number}")  # noqa: S311
        order, free = drawer.sample(rng, drawer.size, scripts)
        left, picked = dict(split), list[int]()
        for candidate in order:
            source = drawer.task.candidates[candidate].source
            if left[source]:
                left[source] -= 1
                picked.append(candidate)
        draw = drawer.draw(picked, free)
        if draw.classes:
            right = drawer.right(picked)
            total += sum(chance * right[c] for c, chance in ours(draw).items() if c is not None)
    return total / orders
