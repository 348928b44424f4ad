"""Joins judgements of pairs, which are made apart from a pool, into its tasks."""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import DatasetError
from harness.rows import read_rows
from selection.pool import PoolJudgement, PoolTask, TaskJudgements


def with_judgements(tasks: Sequence[PoolTask], files: Sequence[str]) -> tuple[tuple[PoolTask, ...], list[str]]:
    """The tasks with the files' judgements beside their own, and a note on what is missing.

    Lines of tasks that are not among these (of another group) are passed over. Raises DatasetError where a line cannot
    be read, judges a class that its task does not have, or where no line is of any task.
    """
    if not files:
        return tuple(tasks), []
    known = {task.id: task for task in tasks}
    found: dict[str, list[PoolJudgement]] = {}
    for row in (row for file in files for row in read_rows(file)):
        line = row.read_as(TaskJudgements)
        if line.id not in known:
            continue
        if strange := {c for one in line.judgements for c in (one.first, one.second)} - set(known[line.id].classes):
            raise DatasetError(
                f"{row.where}: task {line.id} has no class {min(strange)}; give the judgements of this very pool"
            )
        found.setdefault(line.id, []).extend(line.judgements)
    if not found:
        raise DatasetError(f"{files[0]}: judges none of the pool's tasks, such as {tasks[0].id}")
    joined = tuple(
        task.model_copy(update={"judgements": (*task.judgements, *found.get(task.id, ()))}) for task in tasks
    )
    return joined, _missing(joined)


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
