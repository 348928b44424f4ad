"""Coverage by the number of candidates, of all sources together and of each."""

from __future__ import annotations

import math
from collections.abc import Sequence

from selection.pool import PoolTask
from selection.study.record import CoveragePoint, CoverageRecord
from selection.study.statistics import coverage_at, power_law


def coverage(tasks: Sequence[PoolTask]) -> tuple[CoverageRecord, ...]:
    """At 1, 2, 4, ... up to what every task has; tasks in which a source has no candidate do not count for it."""
    names = sorted({c.source for task in tasks for c in task.candidates})
    return tuple(_curve(tasks, name) for name in ([None, *names] if len(names) > 1 else [None]))


def _curve(tasks: Sequence[PoolTask], source: str | None) -> CoverageRecord:
    labels = [[c.resolved for c in task.candidates if source in (None, c.source)] for task in tasks]
    counts = [(len(of), sum(of)) for of in labels if of or source is None]
    most = min((n for n, _ in counts), default=0)
    ks = sorted({2**power for power in range(most.bit_length())} | {most} if most else set[int]())
    points = [(k, sum(coverage_at(k, n, right) for n, right in counts) / len(counts)) for k in ks]
    law = power_law(points)
    return CoverageRecord(
        source=source or "",
        tasks=len(counts),
        points=tuple(
            CoveragePoint(k=k, coverage=c, fitted=math.exp(law[0] * k ** law[1]) if law else None) for k, c in points
        ),
        a=law[0] if law else None,
        b=law[1] if law else None,
    )
