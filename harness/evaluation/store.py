"""Evaluations that are kept in a run directory, so that none is done twice: one file each, whole or not there."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import ValidationError

from harness import swebench
from harness.errors import JournalError
from harness.evaluation.record import FINAL, Evaluation
from harness.instances import Instance
from sandbox.base import digest_of

FOLDER = "evaluation"
LOG_CAP = 4 * 1024**2
"""Characters of a log that are kept: the first half and the last half of it."""

GRADING = "1"
"""Changes when evaluations of an older bestpatch must not be used any more."""


def key_of(instance: Instance, patch: str, *how: str) -> str:
    """Equal for the same instance, patch and way of grading (`how`: the environment, repetitions, ...).

    The issue's text and comments play no part.
    """
    row = instance.model_dump_json(exclude={"problem_statement", "hints_text", "created_at", "repo_path"})
    return digest_of(GRADING, row, patch, swebench.installed_version(), *how)[:16]


class Store:
    """The evaluations of a run directory. Nobody else may write there: the caller holds the directory's lock."""

    def __init__(self, run: Path) -> None:
        """Raises JournalError."""
        self.folder = run / FOLDER
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise JournalError(f"{self.folder}: cannot be made: {error.strerror}; name another with --run") from error

    def get(self, instance_id: str, key: str) -> Evaluation | None:
        """What is known of a pair; None where it was not graded to an end, or the file was damaged."""
        try:
            found = Evaluation.model_validate_json(self._path(instance_id, key).read_bytes())
        except (OSError, ValidationError):
            return None
        return found if found.key == key and found.outcome in FINAL else None

    def put(self, evaluation: Evaluation, log: str) -> Evaluation:
        """Keep an evaluation and its log; returns it with the log's name. Raises JournalError."""
        path = self._path(evaluation.instance_id, evaluation.key)
        if log:
            evaluation = evaluation.model_copy(update={"log": path.with_suffix(".log").name})
            write(path.with_suffix(".log"), _shortened(log).encode("utf-8", "replace"))
        write(path, evaluation.model_dump_json(indent=1).encode())
        return evaluation

    def _path(self, instance_id: str, key: str) -> Path:
        return self.folder / f"{instance_id}-{key}.json"


def _shortened(log: str) -> str:
    if len(log) <= LOG_CAP:
        return log
    left_out = len(log) - LOG_CAP
    return f"{log[: LOG_CAP // 2]}\n[{left_out} characters left out]\n{log[-LOG_CAP // 2 :]}"


def write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, whatever happens meanwhile. Raises JournalError."""
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise JournalError(f"{path}: {error.strerror}; free some disk, then run the same command") from error
