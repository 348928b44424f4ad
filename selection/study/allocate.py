"""Splits a budget of candidates over the sources of a pool so that `ours` scores best.

Hill-climbing: from the even split and from each source alone, the one move of a candidate from one source to another
that helps most, until none helps; of the ends the best. Every split sees the same random order of candidates and
scripts, so that differences are no luck of the draw.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from selection.draws import Drawer
from selection.methods.votes import ours
from selection.study.record import AllocationRecord
from selection.study.side_by_side import Each
from selection.study.statistics import interval, resamples, sums

ORDERS = 20

Split = tuple[int, ...]


def allocate(
    drawers: Sequence[Drawer],
    candidates: int,
    scripts: int,
    draws: int,
    seed: int,
    each: Each = map,
    given: Mapping[str, int] | None = None,
) -> AllocationRecord:
    """The best split found of `candidates`, or what the one that is `given` is worth.

    A source that has fewer candidates for a task gives all of them. A source that `given` does not name gives none.
    """
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
    alone = {source: tuple(candidates * (source == other) for other in sources) for source in sources}
    if given is None:
        # The first of equals, so that the even split stays where nothing is better.
        ends = [_climbed(start, mean) for start in (even, *alone.values())]
        best = max(ends, key=lambda split: round(mean(split), 9))
    else:
        best = tuple(given.get(source, 0) for source in sources)
    gains = [a - b for a, b in zip(scores(best), scores(even), strict=True)]
    samples = resamples(len(drawers), seed)
    return AllocationRecord(
        candidates=candidates,
        given=given is not None,
        split=dict(zip(sources, best, strict=True)),
        score=mean(best),
        even_split=dict(zip(sources, even, strict=True)),
        even_score=mean(even),
        gain_interval=interval([total / len(drawers) for total in sums(gains, samples)]),
        single={source: mean(split) for source, split in alone.items()},
        tokens={source: _tokens(drawers, source) for source in sources},
    )


def _climbed(split: Split, mean: Callable[[Split], float]) -> Split:
    """Where moves that help lead to."""
    while True:
        moved = max(_moves(split), key=mean, default=split)
        if mean(moved) <= mean(split) + 1e-9:
            return split
        split = moved


def _tokens(drawers: Sequence[Drawer], source: str) -> float | None:
    """Completion tokens of a source's candidate and the scripts that come with it, in the mean."""
    total = count = 0
    for task in (drawer.task for drawer in drawers):
        mine = [one for one in task.candidates if one.source == source]
        authors = {one.trajectory for one in mine} - {""}
        spent = [one.completion_tokens for one in mine]
        spent += [script.completion_tokens for script in task.scripts if script.trajectory in authors]
        if any(tokens is None for tokens in spent):
            return None
        total, count = total + sum(tokens or 0 for tokens in spent), count + len(mine)
    return total / count


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
