"""Joins what a model was asked apart from a pool, judgements of pairs and comparisons, into the pool's tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from harness.errors import DatasetError
from harness.rows import read_rows
from selection.base import ClassId
from selection.pool import PoolComparison, PoolJudgement, PoolTask, TaskComparisons, TaskJudgements

_Line = TypeVar("_Line", TaskJudgements, TaskComparisons)


def with_judgements(tasks: Sequence[PoolTask], files: Sequence[str]) -> tuple[tuple[PoolTask, ...], list[str]]:
    """The tasks with the files' judgements beside their own, and a note on what is missing.

    Lines of tasks that are not among these (of another group) are passed over. Raises DatasetError where a line cannot
    be read, judges a class that its task does not have, or where no line is of any task.
    """
    found: dict[str, list[PoolJudgement]] = {}
    for line in _lines(tasks, files, TaskJudgements, lambda of: ((j.first, j.second) for j in of.judgements)):
        found.setdefault(line.id, []).extend(line.judgements)
    if not files:
        return tuple(tasks), []
    joined = tuple(
        task.model_copy(update={"judgements": (*task.judgements, *found.get(task.id, ()))}) for task in tasks
    )
    return joined, _missing(joined)


def with_comparisons(tasks: Sequence[PoolTask], files: Sequence[str]) -> tuple[PoolTask, ...]:
    """The same for comparisons; what is missing depends on the draws, so the study tells it."""
    found: dict[str, list[PoolComparison]] = {}
    for line in _lines(tasks, files, TaskComparisons, lambda of: (one.classes for one in of.comparisons)):
        found.setdefault(line.id, []).extend(line.comparisons)
    return tuple(
        task.model_copy(update={"comparisons": (*task.comparisons, *found.get(task.id, ()))}) for task in tasks
    )


def _lines(
    tasks: Sequence[PoolTask],
    files: Sequence[str],
    kind: type[_Line],
    classes: Callable[[_Line], Iterable[Iterable[ClassId]]],
) -> list[_Line]:
    known = {task.id: set(task.classes) for task in tasks}
    found: list[_Line] = []
    for row in (row for file in files for row in read_rows(file)):
        line = row.read_as(kind)
        if line.id not in known:
            continue
        if strange := {c for some in classes(line) for c in some} - known[line.id]:
            raise DatasetError(
                f"{row.where}: task {line.id} has no class {min(strange)}; give a file of this very pool"
            )
        found.append(line)
    if files and not found:
        raise DatasetError(f"{files[0]}: is about none of the pool's tasks, such as {tasks[0].id}")
    return found


def _missing(tasks: Sequence[PoolTask]) -> list[str]:
    """Says how many pairs no model judged."""
    pairs = judged = 0
    for task in tasks:
        count = len(task.classes)
        pairs += count * (count - 1) // 2
        judged += len({frozenset((one.first, one.second)) for one in task.judgements})
    if judged == pairs:
        return []
    return [f"{judged} of {pairs} pairs of classes were judged; a method takes each of the others as even"]
