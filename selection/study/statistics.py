"""Statistics over tasks: a task is one independent observation, its draws are not."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

RESAMPLES = 2_000


def resamples(tasks: int, seed: int, count: int = RESAMPLES) -> list[list[int]]:
    """Numbers of tasks drawn with replacement: the same for all methods, so that their intervals are paired."""
    rng = random.Random(f"bootstrap {seed}")  # noqa: S311 - statistics, no secrets
    return [rng.choices(range(tasks), k=tasks) for _ in range(count)]


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The middle 95 % of the values."""
    ordered = sorted(values)
    return ordered[int(0.025 * len(ordered))], ordered[max(0, math.ceil(0.975 * len(ordered)) - 1)]


def sums(values: Sequence[float], samples: Sequence[Sequence[int]]) -> list[float]:
    """The sum of the values in each resample."""
    at = values.__getitem__
    return [sum(map(at, sample)) for sample in samples]


def gap(selected: float, random_: float, oracle: float) -> float:
    """Gap recovered; 0 where there is no gap."""
    room = oracle - random_
    return (selected - random_) / room if room > 1e-12 else 0.0


def sign_flip(differences: Sequence[float], seed: int, flips: int = RESAMPLES) -> float:
    """Two-sided p-value of paired differences being around 0; at least 1 / (flips + 1)."""
    moving = [abs(d) for d in differences if abs(d) > 1e-12]
    seen = abs(sum(differences)) - 1e-9
    if not moving:
        return 1.0
    rng = random.Random(f"sign flips {seed}")  # noqa: S311
    extreme = 0
    for _ in range(flips):
        bits = rng.getrandbits(len(moving))
        total = sum(d if bits >> n & 1 else -d for n, d in enumerate(moving))
        extreme += abs(total) >= seen
    return (extreme + 1) / (flips + 1)


def coverage_at(k: int, candidates: int, right: int) -> float:
    """The chance that at least one of k candidates, drawn without replacement, is right (arXiv 2107.03374)."""
    if candidates - right < k:
        return 1.0 if right else 0.0
    return 1.0 - math.comb(candidates - right, k) / math.comb(candidates, k)


def power_law(points: Sequence[tuple[int, float]]) -> tuple[float, float] | None:
    """a and b of coverage = exp(a k^b), by least squares of log(-log coverage) on log k. None from fewer than 2."""
    usable = [(math.log(k), math.log(-math.log(c))) for k, c in points if 0 < c < 1]
    if len(usable) < 2:
        return None
    mean_x = sum(x for x, _ in usable) / len(usable)
    mean_y = sum(y for _, y in usable) / len(usable)
    spread = sum((x - mean_x) ** 2 for x, _ in usable)
    b = sum((x - mean_x) * (y - mean_y) for x, y in usable) / spread
    return -math.exp(mean_y - b * mean_x), b
