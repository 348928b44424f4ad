"""The state of one invocation: its clock, its budget, who watches, and how it is written down."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import cast

import anyio

from agent.context.gather import Context
from agent.given import Given, Taken
from agent.model.base import Model, Profile
from agent.task import Task
from agent.trajectory import Recorder
from harness.budget import Budget, BudgetedModel
from harness.config import Settings, limits_of
from harness.gpu import GpuAccount
from harness.journal import Journal
from harness.outcome import (
    Reached,
    candidate_records,
    cell_records,
    comparison_record,
    given_records,
    manifest,
    probe_records,
    regression_record,
    script_records,
    task_record,
    write_files,
)
from harness.progress import Both, WatchedModel, Watcher
from harness.replay import JournaledModel
from harness.result import Result, Status, StoppedRecord
from sandbox.base import Sandbox


@dataclass
class Opening:
    """Where a run's model and sandbox meet, each opened in a task of its own."""

    model: anyio.Event = field(default_factory=anyio.Event)
    sandbox: anyio.Event = field(default_factory=anyio.Event)
    failed: Exception | None = None


class Run:
    """One invocation on a run directory."""

    def __init__(
        self,
        task: Task,
        settings: Settings,
        journal: Journal,
        watcher: Watcher,
        within: Budget | None = None,
        given: Sequence[Given] | None = None,
    ) -> None:
        """`within`: the budget of a batch that this run is a task of; `given`: candidates that others made."""
        self.task = task
        self.settings = settings
        self.journal = journal
        self.watcher = watcher
        self.recorder: Recorder = Both(journal, watcher)
        self.budget = Budget(settings.budget, journal.usage()["total"], within=within)
        self.id = uuid.uuid4().hex
        self.sandbox: Sandbox | None = None
        self.context: Context | None = None
        self.profile: Profile | None = None
        self.warnings: tuple[str, ...] = ()
        self.limits = limits_of(settings.limits)
        """Of the execution of a test script."""
        self.given = given
        self.taken: tuple[Taken, ...] = ()
        self.stopped: StoppedRecord | None = None
        self.gpu = GpuAccount(journal, settings)
        self._began = time.monotonic()
        self._started = str(journal.get("started") or datetime.now(UTC).isoformat(timespec="seconds"))
        self._seconds = cast("dict[str, float]", journal.get("stage_seconds") or {})
        self._wall = cast(float, journal.get("wall_seconds") or 0.0)
        journal.put("started", self._started)

    def model(self, model: Model) -> Model:
        """The model as stages see it: answered from the journal, else asked for, within the budget."""
        self.profile = model.profile
        return JournaledModel(BudgetedModel(WatchedModel(model, self.watcher), self.budget), self.journal)

    @contextmanager
    def stage(self, name: str) -> Generator[None]:
        """Times a stage. Stages may overlap; the time of earlier invocations counts as well."""
        began = time.monotonic()
        self.watcher.began(name)
        try:
            yield
        finally:
            seconds = time.monotonic() - began
            self._seconds[name] = self._seconds.get(name, 0.0) + seconds
            self.watcher.ended(name, seconds)

    @asynccontextmanager
    async def admitted(self, entrance: anyio.CapacityLimiter | None) -> AsyncGenerator[None]:
        """Holds a place in the entrance, where there is one. The time of waiting for it is not the run's."""
        if entrance is None:
            yield
            return
        began = time.monotonic()
        async with entrance:
            waited = time.monotonic() - began
            self._began += waited
            self.budget.waited(waited)
            yield

    def close(self, reached: Reached) -> Result:
        """Make the result, write the run's files, tell the watcher."""
        wall = self._wall + time.monotonic() - self._began
        self.journal.put("stage_seconds", self._seconds)
        self.journal.put("wall_seconds", wall)
        result = self._result(reached, wall)
        write_files(self.journal.folder, result, list(self.journal.turns()))
        self.watcher.finished(result)
        return result

    def _result(self, reached: Reached, wall: float) -> Result:
        selection = reached.selection
        chosen = selection is not None and reached.status is Status.SELECTED
        return Result(
            status=reached.status,
            task=task_record(self.task),
            winner=selection.winner if selection and chosen else None,
            patch=selection.patch if selection and chosen else "",
            confidence=selection.confidence if selection and selection.winner else None,
            reasons=selection.reasons if selection else (),
            warnings=self.warnings,
            candidates=candidate_records(reached.proposed, selection),
            scripts=script_records(reached.proposed, selection),
            matrix=cell_records(selection),
            shortlist=selection.shortlist if selection else (),
            vetoed={str(key): why for key, why in selection.vetoed.items()} if selection else {},
            regression=regression_record(selection.regressions) if selection else None,
            probes=probe_records(selection),
            comparison=comparison_record(selection.comparison) if selection and selection.comparison else None,
            usage=self.journal.usage(),
            gpu=self.gpu.keep(),
            sandbox_seconds=self.journal.sandbox_seconds(),
            wall_seconds=wall,
            stage_seconds=dict(self._seconds),
            manifest=manifest(
                self.task,
                self.settings,
                started=self._started,
                profile=self.profile.name if self.profile else "",
                sandbox=self.sandbox,
            ),
            error=reached.error,
            budget_spent=self.budget.spent,
            given=given_records(self.taken),
            stopped=self.stopped,
        )


@contextmanager
def unwrapped() -> Generator[None]:
    """Raises a task group's only exception as itself. Of several, the first is the cause: it ended the others."""
    try:
        yield
    except BaseExceptionGroup as group:
        raise _leaf(group) from None


def _leaf(group: BaseExceptionGroup[BaseException]) -> BaseException:
    first = group.exceptions[0]
    return _leaf(cast("BaseExceptionGroup[BaseException]", first)) if isinstance(first, BaseExceptionGroup) else first
