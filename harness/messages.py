"""What the processes of a batch say to each other. The parent is the one that the user has started."""

from __future__ import annotations

from dataclasses import dataclass

from agent.model.base import Completion, Request, Usage
from agent.model.served import Served
from harness.batch_record import TaskOutcome
from harness.job import Job, Terms
from harness.result import ErrorRecord, Result
from harness.shared import Around
from sandbox.base import Backend


@dataclass(frozen=True)
class Begin:
    """The first message to a worker: its part of what all share."""

    terms: Terms
    served: Served
    """With the worker's part of the answers in flight."""
    backend: Backend | None
    """In place of the one that the settings name."""
    around: Around | None
    workspaces: int
    builds: int
    workers: int
    patience: float
    wall_seconds: float | None
    """Of the run's budget."""
    began: float
    """When that began, on the clock that all processes of a machine share (`time.monotonic`)."""
    debug: bool


@dataclass(frozen=True)
class Solve:
    """To a worker: one more job."""

    job: Job


@dataclass(frozen=True)
class Spent:
    """To a worker: a limit of the run's budget is reached."""

    limit: str
    message: str


@dataclass(frozen=True)
class Solved:
    """To the parent: how a job ended, as `harness.job.Solver` says."""

    job: str
    outcome: TaskOutcome | None


@dataclass(frozen=True)
class Used:
    """To the parent: what a completion has spent of the run's budget."""

    usage: Usage


@dataclass(frozen=True)
class Stop:
    """To the parent: nothing can go on."""

    error: ErrorRecord


@dataclass(frozen=True)
class Remark:
    """To the parent: a line about what all tasks share."""

    text: str


@dataclass(frozen=True)
class Began:
    stage: str


@dataclass(frozen=True)
class Ended:
    stage: str
    seconds: float


@dataclass(frozen=True)
class Step:
    stage: str
    done: int
    total: int


@dataclass(frozen=True)
class Asked:
    number: int
    """Of the call, in its task."""
    request: Request
    n: int


@dataclass(frozen=True)
class Answered:
    number: int
    completions: tuple[Completion, ...]


@dataclass(frozen=True)
class Said:
    source: str
    text: str


@dataclass(frozen=True)
class Finished:
    result: Result


Event = Began | Ended | Step | Asked | Answered | Said | Finished


@dataclass(frozen=True)
class Told:
    """To the parent: what the watcher of a task is told."""

    job: str
    event: Event


ToWorker = Begin | Solve | Spent
ToParent = Solved | Used | Stop | Remark | Told
