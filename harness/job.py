"""A task of a batch before it is made, what all of them have in common, and who solves them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from agent.given import Given
from agent.task import Task
from harness.batch_record import TaskOutcome
from harness.config import Settings
from harness.journal import read_usage
from harness.progress import Watcher
from harness.result import ErrorRecord, Status

RUNS_BUDGET = "run's budget"


@dataclass(frozen=True)
class Job:
    """A task that is still to be made. Where a batch has several processes, it is pickled."""

    id: str
    """Also the name of its folder."""
    digest: str
    """Of everything that it is made of."""
    make: Callable[[Path], Task]
    """Makes the task; blocks, in a thread of its own. The folder is for its snapshot. Raises HarnessError."""
    settings: Settings | None = None
    """Where they are not the run's; the model and the machine are the run's in any case."""
    given: tuple[Given, ...] | None = None
    """Candidates that others made, to choose among."""


@dataclass(frozen=True)
class Terms:
    """What the jobs of a batch are solved on, alike in all its processes."""

    settings: Settings
    run: Path
    """The run's directory."""
    limits: str
    """The budgets, each task's own and the run's."""

    def folder(self, job: Job) -> Path:
        return self.run / "tasks" / job.id

    def failed(self, job: Job, error: ErrorRecord) -> TaskOutcome:
        usage = read_usage(self.folder(job))
        return TaskOutcome(
            instance_id=job.id, digest=job.digest, status=Status.FAILED, error=error, limits=self.limits, usage=usage
        )


class Solver(Protocol):
    """Solves the jobs of a batch, in this process (`harness.at_work`) or in others (`harness.processes`)."""

    @property
    def room(self) -> int:
        """Jobs that are worth handing over at once: those at work, and those that are made ready meanwhile."""
        ...

    async def solved(self, job: Job, watcher: Watcher) -> TaskOutcome | None:
        """How the job ended; None where it goes on another time. A failure of its own is an outcome."""
        ...
