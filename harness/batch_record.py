"""What a batch keeps of its tasks, and the files it writes: predictions, a summary, a report."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from harness.outcome import write_whole
from harness.release import release
from harness.result import ErrorRecord, GpuRecord, Record, Result, SavedRecord, Status, UsageRecord

FINISHED = frozenset({Status.SELECTED, Status.NO_CANDIDATE, Status.ABSTAINED, Status.BUDGET_SPENT})
"""A task that ended so has a prediction."""

PASSING = frozenset(
    {
        *("EngineUnavailable", "SandboxLost", "SandboxTimeout", "DiskFull"),
        *("ModelUnavailable", "ModelTimeout", "ModelDenied", "JournalError", "DirectoryFull", "WorkerLost"),
    }
)
"""Kinds of failures that say nothing about a task and may be gone the next time; others come again."""

NO_USAGE = UsageRecord(calls=0, prompt_tokens=0, cached_tokens=0, completion_tokens=0, model_seconds=0.0, money=0.0)


class TaskOutcome(Record):
    """How a task of a batch ended, and all that is needed of it without opening its folder again."""

    instance_id: str
    digest: str
    """Of what the task was made of: a task whose instance has changed is another one."""
    status: Status
    patch: str = ""
    confidence: float | None = None
    candidates: int = 0
    model: str = ""
    """The model's profile."""
    error: ErrorRecord | None = None
    budget_spent: str | None = None
    """The limit that ended it early."""
    limits: str = ""
    """The budgets that it had, its own and the run's."""
    usage: UsageRecord = NO_USAGE
    saved: SavedRecord | None = None
    sandbox_seconds: float = 0.0
    wall_seconds: float = 0.0
    refused: int = 0
    """Candidates that were given and could not be taken."""

    @classmethod
    def of(cls, name: str, digest: str, result: Result, limits: str) -> TaskOutcome:
        error = result.error and ErrorRecord(kind=result.error.kind, message=result.error.message)
        return cls(
            instance_id=name,
            digest=digest,
            status=result.status,
            patch=result.patch,
            confidence=result.confidence,
            candidates=len(result.candidates),
            refused=sum(given.refused for given in result.given),
            model=result.manifest.profile,
            error=error,
            budget_spent=result.budget_spent,
            limits=limits,
            usage=result.usage["total"],
            saved=result.stopped and result.stopped.saved,
            sandbox_seconds=result.sandbox_seconds,
            wall_seconds=result.wall_seconds,
        )

    def over(self, *, limits: str, retry: bool) -> bool:
        """Whether the task is done with. One that a budget ended goes on when there is another budget."""
        if self.status in FINISHED:
            return self.budget_spent is None or self.limits == limits
        return self.error is not None and self.error.kind not in PASSING and not retry


class TaskLine(Record):
    """A task in `summary.json`."""

    instance_id: str
    status: Status | Literal["waiting"]
    """`waiting`: it was not begun, or not ended."""
    confidence: float | None = None
    candidates: int = 0
    refused: int = 0
    """Given candidates that could not be taken; the task's own report says why."""
    error: ErrorRecord | None = None
    budget_spent: str | None = None
    tokens: int = 0
    money: float = 0.0
    gpu_seconds: float = 0.0
    """Its part of the run's, by how long its answers were under way."""
    saved: SavedRecord | None = None
    """By candidates that were not made, because sampling ended early."""
    sandbox_seconds: float = 0.0
    wall_seconds: float = 0.0
    folder: str
    """Relative to the run's directory."""


class BatchSummary(Record):
    """The whole of `summary.json`."""

    schema_version: Literal[1] = 1
    tasks: int
    counts: dict[str, int]
    """Tasks by status, `waiting` included."""
    resolved_estimate: float
    """How many tasks are solved if the confidences are right: the sum of those of chosen patches."""
    usage: UsageRecord
    """Of all invocations on the run's directory."""
    gpu: GpuRecord | None = None
    """Of servers that the batch has started; None where it had none."""
    saved: SavedRecord | None = None
    """The sum over the tasks where sampling ended early; None where it never did."""
    sandbox_seconds: float
    wall_seconds: float
    """Of all invocations on the run's directory."""
    tasks_per_hour: float
    """Of this invocation."""
    budget_spent: str | None = None
    """The run's limit that was reached."""
    stopped: ErrorRecord | None = None
    """What ended the run before its tasks."""
    interrupted: bool = False
    lines: tuple[TaskLine, ...]

    @property
    def done(self) -> int:
        return sum(self.counts.get(status, 0) for status in FINISHED)


def added(records: Sequence[UsageRecord]) -> UsageRecord:
    """The sum."""
    names = UsageRecord.model_fields
    return UsageRecord.model_validate({name: sum(getattr(record, name) for record in records) for name in names})


def line_of(name: str, outcome: TaskOutcome | None, gpu: float = 0.0) -> TaskLine:
    """`gpu`: GPU seconds of the run for each second in which an answer was under way."""
    folder = f"tasks/{name}"
    if outcome is None:
        return TaskLine(instance_id=name, status="waiting", folder=folder)
    return TaskLine(
        instance_id=name,
        status=outcome.status,
        confidence=outcome.confidence,
        candidates=outcome.candidates,
        refused=outcome.refused,
        error=outcome.error,
        budget_spent=outcome.budget_spent,
        tokens=outcome.usage.prompt_tokens + outcome.usage.completion_tokens,
        money=outcome.usage.money,
        gpu_seconds=gpu * outcome.usage.model_seconds,
        saved=outcome.saved,
        sandbox_seconds=outcome.sandbox_seconds,
        wall_seconds=outcome.wall_seconds,
        folder=folder,
    )


def model_name(profile: str) -> str:
    """What `model_name_or_path` says of a prediction; SWE-bench's harness makes folders of it."""
    return re.sub(r"[^\w.-]+", "-", f"bestpatch-{release()}-{profile}").strip("-")


class Predictions:
    """`predictions.jsonl`: one line for each finished task, in the order of the tasks, rewritten whole each time."""

    def __init__(self, path: Path, order: Sequence[str]) -> None:
        self._path = path
        self._lines: dict[str, bytes | None] = dict.fromkeys(order)

    def put(self, outcome: TaskOutcome) -> None:
        """Take up a task's outcome; `write` brings it to the disk. One that has no prediction takes its line away."""
        line = {
            "instance_id": outcome.instance_id,
            "model_name_or_path": model_name(outcome.model),
            "model_patch": outcome.patch,
        }
        done = outcome.status in FINISHED
        self._lines[outcome.instance_id] = json.dumps(line).encode() + b"\n" if done else None

    def write(self) -> None:
        """Raises JournalError, DirectoryFull."""
        write_whole(self._path, b"".join(line for line in self._lines.values() if line is not None))


def counts_of(lines: Sequence[TaskLine]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for line in lines:
        counts[str(line.status)] = counts.get(str(line.status), 0) + 1
    return counts


def estimate(outcomes: Mapping[str, TaskOutcome]) -> float:
    return sum(each.confidence or 0.0 for each in outcomes.values() if each.status is Status.SELECTED)
