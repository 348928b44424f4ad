"""Sampling until the choice is safe: what each rule for stopping would have saved and cost.

Candidates come in growing steps, with scripts in the same proportion; after each the rule looks at what `ours` would
choose. The rules: `fixed` stops at its number; `agreement` when at least three candidates have a patch and no checked
script tells any apart; `beta` when the leader's group is the more frequent one with all but the accepted risk, against
the largest other group (adaptive consistency, arXiv 2305.11860); `beta-votes` is what a run does, at a run's steps
(`selection.stopping`); `confidence` when that of `selection` is high enough.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from selection.draws import Draw, Drawer
from selection.stopping import ahead, lead
from selection.stopping import steps_to as steps_of_a_run
from selection.study.calibration import certain
from selection.study.record import AdaptiveRecord
from selection.study.side_by_side import Each

ORDERS = 20
"""Orders of candidates tried for each task, at most: each is followed to its end."""
RISKS, CONFIDENCES = (0.2, 0.1, 0.05, 0.01), (0.7, 0.8, 0.9, 0.95)
FEW = 3


@dataclass(frozen=True)
class _State:
    """What is known after a step."""

    candidates: int
    score: float
    tokens: float | None
    alike: bool
    ahead: float
    lead: float
    confidence: float


Rule = Callable[[_State], bool]


def adaptive(
    drawers: Sequence[Drawer], candidates: int, scripts: int, draws: int, seed: int, each: Each = map
) -> tuple[AdaptiveRecord, ...]:
    """All rules up to `candidates`, on the same orders."""
    steps = steps_to(candidates)
    follow = partial(_paths, steps, scripts / candidates, min(draws, ORDERS), seed)
    paths = [path for of_task in each(follow, drawers) for path in of_task]
    rules: list[tuple[str, float, Rule]] = [
        *(("fixed", float(n), lambda state, n=n: state.candidates >= n) for n in steps),
        ("agreement", 0.0, lambda state: state.alike),
        *(("beta", risk, lambda state, risk=risk: state.ahead >= 1 - risk) for risk in RISKS),
        *(("beta-votes", risk, _safe(risk, steps_of_a_run(candidates, risk))) for risk in RISKS),
        *(("confidence", sure, lambda state, sure=sure: state.confidence >= sure) for sure in CONFIDENCES),
    ]
    return tuple(_record(name, level, rule, paths) for name, level, rule in rules)


def steps_to(candidates: int) -> list[int]:
    """1, 2, 3, 4, 6, 8, 12, 16, 24, ... and the last."""
    powers = [2**power for power in range(candidates.bit_length())]
    return sorted({n for power in powers for n in (power, power * 3 // 2) if n < candidates} | {candidates})


def _paths(steps: Sequence[int], share: float, orders: int, seed: int, drawer: Drawer) -> list[list[_State]]:
    """A task's candidates in several orders. `share`: free scripts for each candidate."""
    names = [f"adaptive {seed} {drawer.task.id} {number}" for number in range(orders)]
    return [_path(drawer, steps, share, random.Random(name)) for name in names]  # noqa: S311 - draws, no secrets


def _path(drawer: Drawer, steps: Sequence[int], share: float, rng: random.Random) -> list[_State]:
    order, free = drawer.sample(rng, drawer.size, len(drawer.free))
    states: list[_State] = []
    for step in steps:
        picked = order[:step]
        draw = drawer.draw(picked, free[: math.ceil(step * share)])
        choice = certain(draw, drawer.right(picked))
        tokens = [*(drawer.task.candidates[n].completion_tokens for n in picked)]
        tokens += [script.completion_tokens for script in draw.scripts]
        known = [number for number in tokens if number is not None]
        states.append(
            _State(
                len(picked),
                choice.right,
                float(sum(known)) if len(known) == len(tokens) else None,
                _all_alike(draw),
                _ahead(draw),
                lead(draw.ranking, len(draw.rows)),
                choice.confidence,
            )
        )
        if len(picked) == drawer.size:
            break
    return states


def _all_alike(draw: Draw) -> bool:
    members = sum(len(of) for of in draw.classes.values())
    return members >= FEW and len({standing.twin for standing in draw.ranking}) == 1 and bool(draw.rows)


def _ahead(draw: Draw) -> float:
    """The chance that the leader's group of candidates alike is the most frequent one."""
    if not draw.ranking:
        return 0.0
    leader = draw.ranking[0]
    rivals = [s.alike for s in draw.ranking if s.twin != leader.twin and s.unmet == leader.unmet]
    return ahead(leader.alike, max(rivals, default=0))


def _safe(risk: float, steps: Sequence[int]) -> Rule:
    return lambda state: state.candidates in steps and state.lead >= 1 - risk


def _record(name: str, level: float, rule: Rule, paths: Sequence[Sequence[_State]]) -> AdaptiveRecord:
    ends = [next((state for state in path if rule(state)), path[-1]) for path in paths]
    tokens = [end.tokens for end in ends if end.tokens is not None]
    return AdaptiveRecord(
        rule=name,
        level=level,
        candidates=sum(end.candidates for end in ends) / len(ends),
        score=sum(end.score for end in ends) / len(ends),
        completion_tokens=sum(tokens) / len(tokens) if len(tokens) == len(ends) else None,
    )
