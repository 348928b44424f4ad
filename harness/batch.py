"""Many tasks as one run: a pipeline for each, nothing shared but the model server, the sandboxes' backend, the disk.

    job -> task (snapshot) -> environment | -> context -> candidates -> selection -> prediction
           at most `builds` at once       |  at most `workers` tasks at once; their model calls share the
           and so many tasks ahead        |  server's slots, their workspaces one limit

No task waits for another except in line for what is limited, in the order of the jobs. What finished is in the run's
journal; every task has a folder with a journal of its own, made by `harness.solve`, and goes on from there.
"""

from __future__ import annotations

import shutil
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import anyio
from anyio import to_thread

from agent.errors import AgentError, ModelError
from agent.given import Given
from agent.model.base import ModelServer
from agent.task import Task
from harness.batch_record import BatchSummary, Predictions, TaskOutcome, added, counts_of, estimate, line_of
from harness.batch_watch import BatchSilence, BatchWatcher
from harness.budget import Budget
from harness.config import BudgetSettings, Settings
from harness.errors import DirectoryFull, HarnessError, JournalError, RunConflict
from harness.gate import GatedBackend, GatedModel
from harness.gpu import GpuAccount
from harness.journal import Journal, read_usage
from harness.outcome import error_record, identity_of_settings, write_whole
from harness.result import ErrorRecord, Status
from harness.run import unwrapped
from harness.shared import Shared
from harness.solve import solve
from sandbox.base import Backend
from sandbox.errors import SandboxError

RUNS_BUDGET = "run's budget"


@dataclass(frozen=True)
class Job:
    """A task that is still to be made."""

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
class BatchSettings:
    """How a batch is run; none of it decides about an outcome."""

    workers: int | None = None
    """Tasks at work at once, past their environments. None: what keeps the model's slots full twice."""
    budget: BudgetSettings = field(default_factory=BudgetSettings)
    """Of all tasks together; the settings' is that of each."""
    retry: bool = False
    """Also try again what failed for a reason that will not pass by itself."""
    patience: float = 300.0
    """Seconds for which a dead model server, engine or full disk is waited for."""


async def batch(
    jobs: Sequence[Job],
    settings: Settings,
    *,
    run: Path,
    how: BatchSettings | None = None,
    watcher: BatchWatcher | None = None,
    model: ModelServer | None = None,
    backend: Backend | None = None,
) -> BatchSummary:
    """Solve all jobs, in their order; leaves `predictions.jsonl`, `summary.json`, `report.html`, `tasks/ID/` in `run`.

    A run that was begun in `run` before goes on: finished tasks are not opened again. A task that fails is an outcome
    and touches no other. Where nothing can go on, the summary says what stopped the run. Cancellation writes the files
    as well, and goes on. `model` and `backend` stand in for those that the settings name, and stay open.
    Raises RunConflict (other settings, other instances, another process), JournalError, ModelSpecError.
    """
    how = how or BatchSettings()
    with Journal(run, "--run") as journal:
        identity = identity_of_settings(settings)
        journal.identify({**identity, "selection.min_confidence": settings.selection.min_confidence})
        its = _Batch(jobs, settings, how, journal, watcher or BatchSilence())
        try:
            await its.run(model, backend)
        except anyio.get_cancelled_exc_class():
            its.close(interrupted=True)
            raise
        return its.close()


class _Batch:
    """The state of one invocation."""

    def __init__(
        self, jobs: Sequence[Job], settings: Settings, how: BatchSettings, journal: Journal, watcher: BatchWatcher
    ) -> None:
        self._jobs = jobs
        self._settings = settings
        self._how = how
        self._journal = journal
        self._watcher = watcher
        self._began = time.monotonic()
        self._wall = cast(float, journal.get("wall_seconds") or 0.0)
        self._gpu = GpuAccount(journal, settings)
        self._limits = f"{settings.budget.model_dump_json()} {how.budget.model_dump_json()}"
        self._outcomes = self._known()
        self._todo = [job for job in jobs if not self._over(job)]
        self._before = len(jobs) - len(self._todo)
        self._predictions = Predictions(journal.folder / "predictions.jsonl", [job.id for job in jobs])
        for outcome in self._outcomes.values():
            self._predictions.put(outcome)
        spent = [outcome.usage for outcome in self._outcomes.values()]
        self._unfinished = {job.id: read_usage(self._folder(job)) for job in self._todo if job.id not in self._outcomes}
        self.budget = Budget(how.budget, added([*spent, *self._unfinished.values()]), name=RUNS_BUDGET)
        self._scope = anyio.CancelScope()
        self._stopped: ErrorRecord | None = None

    def _known(self) -> dict[str, TaskOutcome]:
        """The outcomes of earlier invocations. Raises RunConflict for an instance that has changed."""
        known = {
            name.removeprefix("task "): TaskOutcome.model_validate(value) for name, value in self._journal.all("task ")
        }
        changed = [job.id for job in self._jobs if job.id in known and known[job.id].digest != job.digest]
        if changed:
            names = ", ".join(changed[:5]) + (f" and {len(changed) - 5} more" if len(changed) > 5 else "")
            raise RunConflict(
                f"{self._journal.folder} holds other instances of the same name: {names}\n"
                "go on with the instances that the run was begun with, or name another directory with --run"
            )
        return known

    def _over(self, job: Job) -> bool:
        outcome = self._outcomes.get(job.id)
        return outcome is not None and outcome.over(limits=self._limits, retry=self._how.retry)

    def _folder(self, job: Job) -> Path:
        return self._journal.folder / "tasks" / job.id

    async def run(self, model: ModelServer | None, backend: Backend | None) -> None:
        done = {job.id: self._outcomes[job.id] for job in self._jobs if self._over(job)}
        self._watcher.began([job.id for job in self._jobs], done)
        self._predictions.write()
        if not self._todo:
            return
        try:
            said, patience = self._watcher.said, self._how.patience
            shared = Shared(self._settings, self._journal.folder, patience, said, self._stop, self._gpu.metered)
            async with shared.opened(model, backend) as (gated, sandboxes):
                with self._scope:
                    await self._all(gated, sandboxes)
        except (ModelError, SandboxError) as error:
            self._stop(error)

    async def _all(self, model: GatedModel, backend: GatedBackend) -> None:
        ahead = self._settings.sandbox.builds
        # Half of the tasks ask the model while the code of the other half is executed.
        slots = max(1, model.profile.parallel // self._settings.candidates)
        workers = self._how.workers or min(2 * slots, max(32, 2 * self._settings.sandbox.parallel))
        entrance, disk = anyio.CapacityLimiter(workers), anyio.CapacityLimiter(ahead)
        line = anyio.Semaphore(workers + ahead)
        with unwrapped():
            async with anyio.create_task_group() as group:
                for job in self._todo:
                    await line.acquire()
                    if self.budget.spent is not None:
                        break  # what was begun selects among what it has; the others wait for more budget
                    group.start_soon(self._one, job, model, backend, entrance, disk, line)

    async def _one(
        self,
        job: Job,
        model: GatedModel,
        backend: GatedBackend,
        entrance: anyio.CapacityLimiter,
        disk: anyio.CapacityLimiter,
        line: anyio.Semaphore,
    ) -> None:
        snapshots = self._folder(job) / "snapshot"
        try:
            snapshots.mkdir(parents=True, exist_ok=True)
            watcher = self._watcher.task(job.id)
            task = await to_thread.run_sync(job.make, snapshots, limiter=disk)
            result = await solve(
                task,
                job.settings or self._settings,
                out=self._folder(job),
                watcher=watcher,
                model=model,
                backend=backend,
                entrance=entrance,
                within=self.budget,
                given=job.given,
            )
            outcome = TaskOutcome.of(job.id, job.digest, result, self._limits)
            if outcome.status is Status.BUDGET_SPENT and str(outcome.budget_spent).startswith(RUNS_BUDGET):
                return  # it has nothing yet, and goes on when there is more
        except DirectoryFull as error:
            self._stop(error)
            return
        except (HarnessError, AgentError, SandboxError, OSError) as error:
            outcome = self._failed(job, error_record(error))
        except Exception as error:
            message = f"{error}\nthis is a defect in bestpatch: please report it, with the log in the task's folder"
            trace = "".join(traceback.format_exception(error))
            with suppress(JournalError):
                write_whole(self._folder(job) / "defect.log", trace.encode("utf-8", "replace"))
            outcome = self._failed(job, ErrorRecord(kind=type(error).__name__, message=message))
        finally:
            shutil.rmtree(snapshots, ignore_errors=True)
            line.release()
        self._ended(outcome)

    def _failed(self, job: Job, error: ErrorRecord) -> TaskOutcome:
        usage = read_usage(self._folder(job))
        return TaskOutcome(
            instance_id=job.id, digest=job.digest, status=Status.FAILED, error=error, limits=self._limits, usage=usage
        )

    def _ended(self, outcome: TaskOutcome) -> None:
        """Keep an outcome. A run whose directory cannot be written any more is stopped."""
        try:
            self._journal.put(f"task {outcome.instance_id}", outcome.model_dump(mode="json"))
            self._predictions.put(outcome)
            self._predictions.write()
        except JournalError as error:
            self._stop(error)
            return
        self._outcomes[outcome.instance_id] = outcome
        self._unfinished.pop(outcome.instance_id, None)
        self._watcher.ended(outcome)

    def _stop(self, error: Exception) -> None:
        """End the run: nothing can go on. What is under way goes on from its journal the next time."""
        if self._stopped is None:
            self._stopped = error_record(error)
            self._watcher.said(f"stopping: {self._stopped.message}")
        self._scope.cancel()

    def close(self, *, interrupted: bool = False) -> BatchSummary:
        """Make the summary, and write the run's files; on a full disk those that were there before stay."""
        summary = self._summary(interrupted)
        try:
            self._journal.put("wall_seconds", summary.wall_seconds)
            self._gpu.keep()
            write_whole(self._journal.folder / "summary.json", summary.model_dump_json(indent=1).encode() + b"\n")
            from harness.report.batch import render_batch  # templates and their engine are not needed before

            write_whole(self._journal.folder / "report.html", render_batch(summary).encode("utf-8", "replace"))
        except JournalError as error:
            self._stop(error)
            summary = self._summary(interrupted)
        self._watcher.finished(summary)
        return summary

    def _summary(self, interrupted: bool) -> BatchSummary:
        mine = {job.id: self._outcomes.get(job.id) for job in self._jobs}
        done = [outcome for outcome in mine.values() if outcome is not None]
        gpu = self._gpu.record()
        busy = sum(outcome.usage.model_seconds for outcome in done)
        part = gpu.seconds / busy if gpu is not None and busy else 0.0
        lines = tuple(line_of(name, outcome, part) for name, outcome in mine.items())
        under_way = [read_usage(self._journal.folder / "tasks" / name) for name in self._unfinished]
        elapsed = time.monotonic() - self._began
        counts = counts_of(lines)
        now = len(lines) - counts.get("waiting", 0) - self._before
        return BatchSummary(
            tasks=len(lines),
            counts=counts,
            resolved_estimate=estimate({outcome.instance_id: outcome for outcome in done}),
            usage=added([*(outcome.usage for outcome in done), *under_way]),
            gpu=gpu,
            sandbox_seconds=sum(outcome.sandbox_seconds for outcome in done),
            wall_seconds=self._wall + elapsed,
            tasks_per_hour=max(0, now) / elapsed * 3600,
            budget_spent=self.budget.spent,
            stopped=self._stopped,
            interrupted=interrupted,
            lines=lines,
        )
