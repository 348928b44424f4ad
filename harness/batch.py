"""Many tasks as one run: a pipeline for each, nothing shared but the model server, the sandboxes' backend, the disk.

    job -> task (snapshot) -> environment | -> context -> candidates -> selection -> prediction
           at most `builds` at once       |  at most `workers` tasks at once; their model calls share the
           and so many tasks ahead        |  server's slots, their workspaces one limit

No task waits for another except in line for what is limited, in the order of the jobs. What finished is in the run's
journal; every task has a folder with a journal of its own, made by `harness.solve`, and goes on from there.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import anyio

from agent.errors import ModelError
from agent.model.base import ModelServer
from agent.model.served import Served
from harness.at_work import AtWork
from harness.batch_record import BatchSummary, Predictions, TaskOutcome, added, counts_of, estimate, line_of
from harness.batch_watch import BatchSilence, BatchWatcher
from harness.budget import Budget
from harness.config import BudgetSettings, Settings
from harness.errors import JournalError, RunConflict
from harness.gpu import GpuAccount
from harness.job import RUNS_BUDGET, Job, Solver, Terms
from harness.journal import Journal, read_usage
from harness.lock import without_workers
from harness.outcome import error_record, identity_of_settings, write_whole
from harness.processes import Processes, how_many
from harness.result import ErrorRecord
from harness.run import unwrapped
from harness.saving import together
from harness.shared import Around, Shared
from sandbox.base import Backend
from sandbox.errors import SandboxError


@dataclass(frozen=True)
class BatchSettings:
    """How a batch is run; none of it decides about an outcome."""

    workers: int | None = None
    """Tasks at work at once, past their environments. None: what keeps the model's slots full twice."""
    processes: int | None = 1
    """That share the tasks, at most; None: by this machine's cores. A model or a server that is this process' own
    (scripted, embedded, given) is asked by this one alone."""
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
    around: Around | None = None,
) -> BatchSummary:
    """Solve all jobs, in their order; leaves `predictions.jsonl`, `summary.json`, `report.html`, `tasks/ID/` in `run`.

    A run that was begun in `run` before goes on: finished tasks are not opened again. A task that fails is an outcome
    and touches no other. Where nothing can go on, the summary says what stopped the run. Cancellation writes the files
    as well, and goes on. `model` and `backend` stand in for those that the settings name, and stay open; `around` makes
    the model that is asked from the one that was opened. Of several processes each gets what it needs, pickled.
    Raises RunConflict (other settings, other instances, another process), JournalError, ModelSpecError.
    """
    how = how or BatchSettings()
    with Journal(run, "--run") as journal:
        identity = identity_of_settings(settings)
        journal.identify({**identity, "selection.min_confidence": settings.selection.min_confidence})
        await without_workers(run)
        its = _Batch(jobs, settings, how, journal, watcher or BatchSilence())
        try:
            await its.run(model, backend, around)
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
        self._terms = Terms(settings, journal.folder, self._limits)
        self._outcomes = self._known()
        self._todo = [job for job in jobs if not self._over(job)]
        self._before = len(jobs) - len(self._todo)
        self._predictions = Predictions(journal.folder / "predictions.jsonl", [job.id for job in jobs])
        for outcome in self._outcomes.values():
            self._predictions.put(outcome)
        spent = [outcome.usage for outcome in self._outcomes.values()]
        begun = [job for job in self._todo if job.id not in self._outcomes]
        self._unfinished = {job.id: read_usage(self._terms.folder(job)) for job in begun}
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

    async def run(self, model: ModelServer | None, backend: Backend | None, around: Around | None) -> None:
        done = {job.id: self._outcomes[job.id] for job in self._jobs if self._over(job)}
        self._watcher.began([job.id for job in self._jobs], done)
        self._predictions.write()
        if not self._todo:
            return
        said, patience = self._watcher.said, self._how.patience
        shared = Shared(self._settings, self._journal.folder, patience, said, self._stop, self._gpu.metered, around)
        try:
            async with (
                shared.opened(model, backend) as opened,
                self._solver(shared, *opened, backend) as solver,
            ):
                with self._scope:
                    await self._all(solver)
        except (ModelError, SandboxError) as error:
            self._stop(error)

    @asynccontextmanager
    async def _solver(
        self, shared: Shared, model: ModelServer, backend: Backend, served: Served | None, given: Backend | None
    ) -> AsyncGenerator[Solver]:
        how, sandbox = self._how, self._settings.sandbox
        # Half of the tasks ask the model while the code of the other half is executed.
        slots = max(1, model.profile.parallel // self._settings.candidates)
        workers = how.workers or min(2 * slots, max(32, 2 * sandbox.parallel))
        count = 1
        if served is not None:
            # Each process has its part of each server, which is to hold all candidates of a task.
            each = served.profile.parallel // self._settings.candidates
            count = how_many(how.processes, tasks=len(self._todo), slots=each, workers=workers)
        if how.processes is not None and count < how.processes:
            self._watcher.said(f"{count} of {how.processes} processes: more would have no task, or no model to ask")
        if served is None or count == 1:
            gated = shared.gated(model, backend)
            yield AtWork(
                self._terms, *gated, workers=workers, ahead=sandbox.builds, budget=self.budget, stop=self._stop
            )
            return
        self._watcher.said(f"{count} processes")
        wall = how.budget.wall_seconds
        processes = Processes(
            *(count, self._terms, served, given, shared.around, workers, how.patience, self.budget, wall),
            say=self._watcher.said,
            stop=self._halt,
        )
        async with processes.opened():
            yield processes

    async def _all(self, solver: Solver) -> None:
        line = anyio.Semaphore(solver.room)
        with unwrapped():
            async with anyio.create_task_group() as group:
                for job in self._todo:
                    await line.acquire()
                    if self.budget.spent is not None:
                        break  # what was begun selects among what it has; the others wait for more budget
                    group.start_soon(self._one, job, solver, line)

    async def _one(self, job: Job, solver: Solver, line: anyio.Semaphore) -> None:
        try:
            outcome = await solver.solved(job, self._watcher.task(job.id))
        finally:
            line.release()
        if outcome is not None:
            self._ended(outcome)

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
        self._halt(error_record(error))

    def _halt(self, error: ErrorRecord) -> None:
        """End the run: nothing can go on. What is under way goes on from its journal the next time."""
        if self._stopped is None:
            self._stopped = error
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
            saved=together(outcome.saved for outcome in done),
            sandbox_seconds=sum(outcome.sandbox_seconds for outcome in done),
            wall_seconds=self._wall + elapsed,
            tasks_per_hour=max(0, now) / elapsed * 3600,
            budget_spent=self.budget.spent,
            stopped=self._stopped,
            interrupted=interrupted,
            lines=lines,
        )
