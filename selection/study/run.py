"""Runs a study: draws, lets every method choose, and puts the figures together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from selection.draws import Drawer
from selection.methods import METHODS, OURS, RANDOM
from selection.methods.base import Signal, signals_of
from selection.pool import PoolTask
from selection.study.adaptive import adaptive
from selection.study.allocate import allocate
from selection.study.coverage import coverage
from selection.study.record import AllocationRecord, PoolRecord, SizeRecord, StudyRecord
from selection.study.scores import at_size, tally
from selection.study.scripts import scripts
from selection.study.side_by_side import side_by_side


@dataclass(frozen=True)
class Size:
    """Candidates of a draw, and scripts where those are drawn freely."""

    candidates: int
    scripts: int


@dataclass(frozen=True)
class StudySettings:
    sizes: tuple[Size, ...]
    draws: int = 100
    """Of each task at each size."""
    seed: int = 0
    methods: Collection[str] = ()
    """Names; () for all. `random` and `ours` are always there: the figures are relative to them."""
    allocate: bool = False
    split: Mapping[str, int] = field(default_factory=dict[str, int])
    """Source -> candidates: what this split is worth, instead of the best one."""
    workers: int = 1
    """Processes."""


Say = Callable[[str], None]


def study(
    tasks: Sequence[PoolTask],
    settings: StudySettings,
    *,
    group: str = "",
    files: Sequence[str] = (),
    version: str = "",
    notes: Sequence[str] = (),
    say: Say = lambda text: None,
) -> StudyRecord:
    """All figures of a pool with at least one task. Deterministic: the order of tasks plays no part."""
    tasks = sorted(tasks, key=lambda task: task.id)
    drawers = [Drawer(task) for task in tasks]
    there = frozenset[Signal]().union(*(signals_of(drawer) for drawer in drawers))
    wanted = {*settings.methods, RANDOM, OURS} if settings.methods else set(METHODS)
    methods = [method for name, method in METHODS.items() if name in wanted]
    applicable = tuple(method.name for method in methods if method.needs <= there)
    sizes: list[SizeRecord] = []
    with side_by_side(settings.workers) as each:
        for size in settings.sizes:
            say(f"{size.candidates} candidates: {len(tasks)} tasks, {len(applicable)} methods")
            ask = partial(tally, applicable, size.candidates, size.scripts, settings.draws, settings.seed)
            tallies = list(each(ask, drawers))
            smaller = sum(drawer.size < size.candidates for drawer in drawers)
            sizes.append(at_size(tallies, methods, there, size.candidates, size.scripts, smaller, settings.seed))
        largest = max(settings.sizes, key=lambda size: size.candidates)
        budget = (largest.candidates, largest.scripts, settings.draws, settings.seed)
        say("adaptive sampling")
        stopped = adaptive(drawers, *budget, each)
        allocation: AllocationRecord | None = None
        if settings.split:
            whole = sum(settings.split.values())
            allocation = allocate(drawers, whole, *budget[1:], each, settings.split)
        elif settings.allocate:
            say("splits over sources")
            allocation = allocate(drawers, *budget, each)
    return StudyRecord(
        bestpatch=version,
        files=tuple(files),
        seed=settings.seed,
        pool=_pool(tasks, there, group),
        sizes=tuple(sizes),
        coverage=coverage(tasks),
        scripts=scripts(drawers),
        adaptive=stopped,
        allocation=allocation,
        notes=(*notes, *_uncompared(sizes)),
    )


def _uncompared(sizes: Sequence[SizeRecord]) -> list[str]:
    """Says where shortlists of draws were never put before a comparison."""
    return [
        f"{method.title}, {size.candidates} candidates: of its comparisons {method.compared:.3f} are recorded; for the "
        "others it chooses as before a comparison"
        for size in sizes
        for method in size.methods
        if method.score is not None and method.compared is not None and method.compared < 1
    ]


def _pool(tasks: Sequence[PoolTask], there: Collection[Signal], group: str) -> PoolRecord:
    sources = Counter(c.source for task in tasks for c in task.candidates)
    return PoolRecord(
        group=group,
        tasks=len(tasks),
        candidates=sum(len(task.candidates) for task in tasks),
        scripts=sum(len(task.scripts) for task in tasks),
        sources=dict(sorted(sources.items())),
        signals=tuple(signal.value for signal in Signal if signal in there),
    )
