"""Grades patches: opens each instance's environment once, runs its tests on every patch, keeps what came of it.

Instances do not wait for each other. What fails for one of them is its evaluation, and touches no other.
"""

from __future__ import annotations

import traceback
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import anyio
from anyio import to_thread

from agent.task import Task
from harness.config import Settings, backend_settings, limits_of
from harness.errors import InstanceError, JournalError, SwebenchMissing
from harness.evaluation.job import Bench, Job, graded
from harness.evaluation.plan import TestPlan, plan_of
from harness.evaluation.record import Evaluation, Outcome
from harness.evaluation.store import Store, key_of
from harness.evaluation.tree import test_files
from harness.instances import Instance, task_of
from harness.lock import locked
from harness.run import unwrapped
from sandbox.backends import choose_backend
from sandbox.base import Backend
from sandbox.errors import EnvironmentUnavailable, SandboxError
from sandbox.recorded import OUTPUT_BYTES
from selection.execute import side_by_side

Seen = Callable[[Evaluation, bool], None]
"""Hears of each evaluation as it comes, and whether it was kept from an earlier run."""


@dataclass(frozen=True)
class Grading:
    """How patches are graded."""

    repeat: int = 1
    """Runs of the tests on each tree."""
    seconds: float = 1800.0
    """Deadline of one run; the official harness' as well."""
    workers: int | None = None
    """Instances under way at once; None: twice the executions at once, so that images are made meanwhile."""


async def evaluate(
    jobs: Sequence[Job],
    settings: Settings,
    grading: Grading,
    run: Path,
    *,
    seen: Seen = lambda evaluation, kept: None,
    backend: Backend | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> list[Evaluation]:
    """Grade the patches; what `run` holds already is not done again. The order is that of the jobs.

    Raises RunConflict (another process works in `run`), JournalError.
    """
    with locked(run, "--run"):
        async with _opened(backend, settings, say) as opened:
            work = _Work(jobs, settings, grading, Store(run), seen, opened)
            await work.all()
        return [work.found[number] for number in range(len(jobs))]


class _Work:
    """Evaluations under way. Jobs go by their number."""

    def __init__(
        self,
        jobs: Sequence[Job],
        settings: Settings,
        grading: Grading,
        store: Store,
        seen: Seen,
        backend: Callable[[], Awaitable[Backend]],
    ) -> None:
        self.jobs, self.settings, self.grading, self.store, self.seen = jobs, settings, grading, store, seen
        self.found: dict[int, Evaluation] = {}
        self.backend = backend
        self._turns: set[anyio.CapacityLimiter] = set()
        """Of each instance under way: how many of its patches are graded at once."""
        self._waiting = 0
        """Instances that have not begun."""

    async def all(self) -> None:
        """Every instance, a limited number at once."""
        groups: dict[str, list[int]] = {}
        for number, job in enumerate(self.jobs):
            if job.patch.strip() or job.unedited:
                groups.setdefault(job.instance.instance_id, []).append(number)
            else:
                self._finished([number], self._evaluation(job, Outcome.EMPTY_PATCH, ""))
        limiter = anyio.CapacityLimiter(self.grading.workers or 2 * self.settings.sandbox.parallel)

        self._waiting = len(groups)

        async def one(numbers: Sequence[int]) -> None:
            async with limiter:
                self._waiting -= 1
                for turns in self._turns:
                    turns.total_tokens = self._at_once()
                await self._instance(numbers)

        with unwrapped():
            async with anyio.create_task_group() as tasks:
                for numbers in groups.values():
                    tasks.start_soon(one, numbers)

    def _at_once(self) -> int:
        """Patches of one instance at once. A further place in its sandbox takes longer than many a test run, so only
        once there are no other instances to begin."""
        return 1 if self._waiting else self.settings.sandbox.parallel

    async def _instance(self, numbers: Sequence[int]) -> None:
        """All patches of one instance in its sandbox; equal ones once, and kept ones not again."""
        instance = self.jobs[numbers[0]].instance
        equal: dict[str, list[int]] = {}
        try:
            plan = await to_thread.run_sync(plan_of, instance)
            task = await to_thread.run_sync(task_of, instance, self.settings)
            for number in numbers:
                how = (repr(task.environment), str(self.grading.repeat), str(self.grading.seconds))
                equal.setdefault(key_of(instance, self.jobs[number].patch, *how), []).append(number)
            for key, those in equal.items():
                if (kept := self.store.get(instance.instance_id, key)) is not None:
                    self._finished(those, kept, kept=True)
            left = {key: those for key, those in equal.items() if those[0] not in self.found}
            if left:
                async with self._bench(instance, plan, task) as bench, self._turn() as turns:
                    await side_by_side(partial(self._grade, key, those, bench, turns) for key, those in left.items())
        except JournalError:
            raise
        except Exception as error:
            rest = [number for number in numbers if number not in self.found]
            for key, those in (equal or {"": rest}).items():
                if those[0] not in self.found:
                    self._failed(key, those, error)

    @asynccontextmanager
    async def _turn(self) -> AsyncGenerator[anyio.CapacityLimiter]:
        turns = anyio.CapacityLimiter(self._at_once())
        self._turns.add(turns)
        try:
            yield turns
        finally:
            self._turns.discard(turns)

    async def _grade(self, key: str, those: Sequence[int], bench: Bench, turns: anyio.CapacityLimiter) -> None:
        try:
            async with turns:
                evaluation, log = await graded(self.jobs[those[0]], bench)
        except Exception as error:
            self._failed(key, those, error)
        else:
            self._finished(those, self.store.put(evaluation.model_copy(update={"key": key}), log))

    @asynccontextmanager
    async def _bench(self, instance: Instance, plan: TestPlan, task: Task) -> AsyncGenerator[Bench]:
        """The instance's environment, made ready; its containers are gone at the end."""
        backend = await self.backend()
        sandbox = await backend.open(task.environment, task.snapshot, run_id=f"evaluate-{uuid.uuid4().hex[:12]}")
        limits = replace(limits_of(self.settings.limits), seconds=self.grading.seconds, output_bytes=OUTPUT_BYTES)
        try:
            yield Bench(sandbox, plan, await test_files(instance, sandbox), limits, self.grading.repeat)
        finally:
            with anyio.CancelScope(shield=True):
                await sandbox.close()

    def _failed(self, key: str, those: Sequence[int], error: Exception) -> None:
        """Write down what kept a patch from being graded."""
        outcome, reason = Outcome.INFRASTRUCTURE, str(error)
        if isinstance(error, InstanceError | SwebenchMissing):
            outcome = Outcome.INSTANCE_ERROR
        elif not isinstance(error, SandboxError):
            reason = f"{type(error).__name__}: {error}; this is a defect in bestpatch: please report it"
        log = error.log if isinstance(error, EnvironmentUnavailable) else "".join(traceback.format_exception(error))
        evaluation = self._evaluation(self.jobs[those[0]], outcome, reason)
        self._finished(those, self.store.put(evaluation.model_copy(update={"key": key}), log))

    def _evaluation(self, job: Job, outcome: Outcome, reason: str) -> Evaluation:
        return Evaluation(instance_id=job.instance.instance_id, system=job.system, outcome=outcome, reason=reason)

    def _finished(self, those: Sequence[int], evaluation: Evaluation, *, kept: bool = False) -> None:
        for number in those:
            self.found[number] = evaluation.model_copy(update={"system": self.jobs[number].system})
            self.seen(self.found[number], kept)


@asynccontextmanager
async def _opened(
    given: Backend | None, settings: Settings, say: Callable[[str], None]
) -> AsyncGenerator[Callable[[], Awaitable[Backend]]]:
    """Gives the backend once somebody needs it: what is kept needs no engine."""
    docker, bubblewrap = backend_settings(settings)
    opened: list[Backend] = [given] if given is not None else []
    lock = anyio.Lock()

    async def get() -> Backend:
        async with lock:
            if not opened:
                choose = partial(choose_backend, settings.sandbox.backend, docker, bubblewrap, say)
                opened.append(await to_thread.run_sync(choose))
        return opened[0]

    try:
        yield get
    finally:
        for backend in opened:
            await backend.close()
