"""Labels: which candidates of a finished run are right. What `bestpatch evaluate RUN` writes and `study` reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.errors import DatasetError
from harness.evaluation.predictions import Prediction
from harness.evaluation.record import Evaluation, Outcome
from harness.evaluation.report import UNKNOWN
from harness.evaluation.store import write
from harness.result import Result
from harness.rows import read_rows

FILE = "labels.jsonl"

Labels = Mapping[tuple[str, str], "Label"]
"""(Instance id, candidate) -> its label."""


class Label(BaseModel):
    """A line of a labels' file. Frozen; fields beside these are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    instance_id: str = Field(min_length=1)
    candidate: str = Field(min_length=1)
    """Its id in `result.json`; of a file of predictions, its `model_name_or_path`."""
    resolved: bool
    group: str = ""
    """Of the instance, such as a split."""


def results_of(folder: Path) -> list[tuple[str, Path, Result]]:
    """Instance id, folder and result of every task of a batch's run. Raises DatasetError."""
    paths = sorted(folder.glob("tasks/*/result.json"))
    if not paths:
        raise DatasetError(f"{folder}: is no batch's directory: there is no tasks/ID/result.json")
    found: list[tuple[str, Path, Result]] = []
    for path in paths:
        try:
            found.append((path.parent.name, path.parent, Result.model_validate_json(path.read_bytes())))
        except (ValidationError, OSError) as error:
            raise DatasetError(f"{path}: cannot be read: {str(error).splitlines()[0]}") from None
    return found


def candidates_of(folder: Path) -> tuple[Prediction, ...]:
    """Every candidate of a run as a prediction whose system is the candidate's id. Raises DatasetError."""
    return tuple(
        Prediction(instance_id=name, model_name_or_path=made.id, model_patch=made.patch)
        for name, _, result in results_of(folder)
        for made in result.candidates
    )


def write_labels(evaluations: Iterable[Evaluation], run: Path) -> Sequence[Label]:
    """One line for every candidate that was graded to an end. Raises JournalError."""
    labels = [
        Label(instance_id=e.instance_id, candidate=e.system, resolved=e.outcome is Outcome.RESOLVED)
        for e in evaluations
        if e.outcome not in UNKNOWN
    ]
    lines = [label.model_dump_json(exclude_defaults=True) + "\n" for label in labels]
    write(run / FILE, "".join(lines).encode())
    return labels


def read_labels(sources: Sequence[str]) -> Labels:
    """The labels of all files. Raises DatasetError, also where two lines contradict each other."""
    found: dict[tuple[str, str], Label] = {}
    for row in (row for source in sources for row in read_rows(source)):
        label = row.read_as(Label)
        known = found.setdefault((label.instance_id, label.candidate), label)
        if known.resolved != label.resolved:
            raise DatasetError(f"{row.where}: an earlier line has another label for {label.candidate}")
    return found
