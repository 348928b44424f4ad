"""Charts of two axes as geometry: ticks, lines, marks. The markup is `templates/chart.svg.html`, which escapes all.

Units are the SVG's own, one to a CSS pixel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

LEFT, RIGHT, TOP, BOTTOM = 52, 18, 14, 46
"""Room around the plot for tick labels and titles."""


@dataclass(frozen=True)
class Tick:
    at: float
    label: str


@dataclass(frozen=True)
class Line:
    kind: str
    """A class of the style sheet."""
    points: str
    label: str
    """Stands at its end; "" for none."""
    x: float
    y: float


@dataclass(frozen=True)
class Mark:
    kind: str
    x: float
    y: float
    r: float
    title: str
    label: str = ""


@dataclass(frozen=True)
class Chart:
    width: int
    height: int
    x_title: str
    y_title: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    lines: tuple[Line, ...]
    marks: tuple[Mark, ...]
    summary: str
    """The chart in a sentence, for those who do not see it."""
    left: int = LEFT
    right: int = RIGHT
    top: int = TOP
    bottom: int = BOTTOM


class Axis:
    """Maps values to pixels. `log`: by the logarithm, ticks at powers of 2."""

    def __init__(self, low: float, high: float, start: float, end: float, *, log: bool = False) -> None:
        self.log = log
        self.low, self.high, self.start, self.end = low, high if high > low else low + 1, start, end

    def at(self, value: float) -> float:
        low, high, here = (math.log2(v) if self.log else v for v in (self.low, self.high, value))
        return round(self.start + (here - low) / (high - low) * (self.end - self.start), 1)

    def ticks(self) -> tuple[Tick, ...]:
        if self.log:
            powers = [2**n for n in range(int(math.log2(self.high)) + 1) if 2**n >= self.low]
            return tuple(Tick(self.at(value), str(value)) for value in powers)
        step = next(s for s in (0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0) if (self.high - self.low) / s <= 7)
        first = math.ceil(self.low / step - 1e-9)
        count = math.floor(self.high / step + 1e-9) - first + 1
        return tuple(Tick(self.at(value), f"{value:.2f}") for value in ((first + n) * step for n in range(count)))


def line(kind: str, points: Sequence[tuple[float, float]], x: Axis, y: Axis, label: str = "") -> Line:
    placed = [(x.at(a), y.at(b)) for a, b in points]
    end = placed[-1] if placed else (0.0, 0.0)
    return Line(kind, " ".join(f"{a},{b}" for a, b in placed), label, end[0], end[1])


def bounds(
    values: Sequence[float], *, floor: float = 0.0, ceiling: float = 1.0, step: float = 0.1
) -> tuple[float, float]:
    """The values' range, widened to whole steps within floor and ceiling."""
    low = max(floor, math.floor(min(values) / step + 1e-9) * step)
    high = min(ceiling, math.ceil(max(values) / step - 1e-9) * step)
    return low, max(high, low + step)
