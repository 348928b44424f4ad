"""Arithmetic of measured figures, and how they are shown: Markdown tables, milliseconds, mebibytes."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """The least, the quartiles, and of how many."""

    least: float
    first: float
    median: float
    third: float
    count: int


def spread(values: Sequence[float]) -> Spread:
    """Quartiles as numpy computes them: interpolated between the sorted values, the ends included."""
    if len(values) < 2:
        return Spread(values[0], values[0], values[0], values[0], 1)
    first, median, third = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(min(values), first, median, third, len(values))


def above(values: Sequence[float], bare: Sequence[float]) -> list[float]:
    """Each value less the bare one of the same round: what else the machine did then is in both."""
    return [value - base for value, base in zip(values, bare, strict=True)]


def efficiency(cpu_seconds: Sequence[float], cores: int, wall: float) -> float:
    """1.0: the cores did nothing but the work, as measured on the bare host, all the time."""
    return sum(cpu_seconds) / cores / wall


def slope(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Offset and slope of the line through the first and the last point."""
    (x0, y0), (x1, y1) = points[0], points[-1]
    rise = (y1 - y0) / (x1 - x0)
    return y0 - rise * x0, rise


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown; all columns but the first are figures, and stand to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f}"


def mib(size: float) -> str:
    return f"{size / 1024**2:.1f}"


def quartiles(found: Spread) -> str:
    """Median [first, third quartile] in milliseconds."""
    return f"{ms(found.median)} [{ms(found.first)}, {ms(found.third)}]"
