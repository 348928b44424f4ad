"""Reads what `bestpatch study` works on: a pool's own file, labelled predictions, or a finished run with its labels."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from agent.trajectory import CandidateId
from harness.errors import DatasetError
from harness.evaluation.labels import Labels, read_labels
from harness.evaluation.predictions import Prediction
from harness.rows import Row, read_rows
from harness.study_asked import with_comparisons, with_judgements
from harness.study_run import tasks_of_run
from selection.base import ClassId
from selection.pool import PoolCandidate, PoolTask


class _Labelled(Prediction):
    """A line of a file of predictions that may say whether it is right."""

    resolved: bool | None = None
    group: str = Field(default="", alias="split")


@dataclass(frozen=True)
class Pool:
    """Tasks, and what the reader of a study should know of them."""

    tasks: tuple[PoolTask, ...]
    notes: tuple[str, ...]


def read_pool(
    sources: Sequence[str],
    labels: Sequence[str] = (),
    group: str | None = None,
    judgements: Sequence[str] = (),
    comparisons: Sequence[str] = (),
) -> Pool:
    """The tasks of all sources, of one group where it is named.

    Predictions of one instance in several files are candidates of one task. `judgements`, `comparisons`: files of what
    a model said of the tasks' classes. Raises DatasetError.
    """
    known = read_labels(labels)
    tasks: dict[str, PoolTask] = {}
    notes: list[str] = []
    predictions: list[tuple[Row, _Labelled]] = []
    for source in sources:
        if Path(source).is_dir():
            found, more = tasks_of_run(Path(source), known)
            notes += more
        else:
            found, lines = _of_file(source)
            predictions += lines
        for task in found:
            _add(task, tasks, source)
    for task in _of_predictions(predictions, known):
        _add(task, tasks, "the files of predictions")
    chosen = tuple(task for task in tasks.values() if group is None or task.group == group)
    if not chosen:
        groups = Counter(task.group for task in tasks.values())
        there = ", ".join(sorted(filter(None, groups))) or "no task has a group: leave --group out"
        raise DatasetError(f"--group {group}: no task is in it; there are {there}")
    joined, more = with_judgements(chosen, judgements)
    return Pool(with_comparisons(joined, comparisons), (*notes, *more))


def _add(task: PoolTask, tasks: dict[str, PoolTask], source: str) -> None:
    if task.id in tasks:
        raise DatasetError(
            f"{source}: task {task.id} is in another source, too; scripts of one source have no verdicts on candidates "
            "of the other. Study them apart, join them with benchmarks/joined_pool.py, which executes what is "
            "missing, or choose among both in one run with bestpatch select"
        )
    tasks[task.id] = task


def _of_file(source: str) -> tuple[list[PoolTask], list[tuple[Row, _Labelled]]]:
    """Tasks of a pool's own file, or the lines of a file of predictions."""
    tasks: list[PoolTask] = []
    lines: list[tuple[Row, _Labelled]] = []
    for row in read_rows(source):
        if "candidates" in row.values:
            tasks.append(row.read_as(PoolTask))
        elif "instance_id" in row.values and "model_patch" in row.values:
            lines.append((row, row.read_as(_Labelled, model_name_or_path=row.values.get("system", ""))))
        else:
            raise DatasetError(
                f"{row.where}: is neither a task of a pool (candidates, ...) nor a prediction (instance_id, "
                "model_patch, resolved)"
            )
    if not tasks and not lines:
        raise DatasetError(f"{source}: holds no task")
    return tasks, lines


def _of_predictions(lines: Sequence[tuple[Row, _Labelled]], labels: Labels) -> Iterable[PoolTask]:
    """Classes by the text of the patches: no tree is at hand."""
    by_task: dict[str, list[PoolCandidate]] = {}
    groups: dict[str, str] = {}
    classes: dict[str, dict[str, ClassId]] = {}
    for row, line in lines:
        name, system = line.instance_id, line.model_name_or_path
        label = labels.get((name, system))
        resolved = line.resolved if line.resolved is not None else label.resolved if label else None
        if resolved is None:
            raise DatasetError(
                f"{row.where}: does not say whether it is `resolved`; grade it with bestpatch evaluate and add the "
                "field, or give a file of labels with --labels"
            )
        made = by_task.setdefault(name, [])
        same = sum(c.source == system for c in made)
        key = patch_key(line.model_patch)
        if key:
            known = classes.setdefault(name, {})
            known.setdefault(key, ClassId(f"c{len(known) + 1}"))
        made.append(
            PoolCandidate(
                id=CandidateId(f"{system}#{same + 1}" if same else system or f"candidate-{len(made) + 1}"),
                source=system,
                class_id=classes[name][key] if key else None,
                patch=line.model_patch,
                resolved=resolved,
            )
        )
        groups[name] = groups.get(name) or line.group
    return [PoolTask(id=name, group=groups[name], candidates=tuple(made)) for name, made in by_task.items()]


def patch_key(patch: str) -> str:
    """Names a patch by its files and changed lines, without their places, blank lines, comments and trailing space.

    "" for a patch without any. Coarser than the classes of a run, which know the tree.
    """
    parts: list[str] = []
    for line in patch.split("\n"):
        if line.startswith(("+++ ", "--- ", "rename ", "deleted file", "new file")):
            parts.append(line.split("\t")[0].rstrip())
        elif line[:1] in ("+", "-") and not re.fullmatch(r"\s*(#.*)?", line[1:]):
            parts.append(line.rstrip())
    changed = any(not part.startswith(("+++ ", "--- ", "new file")) for part in parts)
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16] if changed else ""
