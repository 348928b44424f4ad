"""What a batch tells those who watch it, and what they know of it: pure bookkeeping."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from agent.model.base import Completion, Request, Usage
from harness.batch_record import BatchSummary, TaskOutcome, estimate
from harness.progress import Silence, Watcher
from harness.result import Result, Status


class BatchWatcher(Protocol):
    """Told of a batch as it goes on."""

    def began(self, tasks: Sequence[str], known: Mapping[str, TaskOutcome]) -> None:
        """All tasks, and the outcomes of those that are done with already."""
        ...

    def task(self, name: str) -> Watcher:
        """A task begins; the watcher of its run."""
        ...

    def ended(self, outcome: TaskOutcome) -> None: ...

    def said(self, text: str) -> None:
        """A line about what all tasks share."""
        ...

    def finished(self, summary: BatchSummary) -> None: ...


class BatchSilence:
    """Watches nothing."""

    def began(self, tasks: Sequence[str], known: Mapping[str, TaskOutcome]) -> None: ...
    def task(self, name: str) -> Watcher:
        return Silence()

    def ended(self, outcome: TaskOutcome) -> None: ...
    def said(self, text: str) -> None: ...
    def finished(self, summary: BatchSummary) -> None: ...


@dataclass
class Running:
    """A task under way."""

    began: float
    stage: str = "snapshot"
    count: tuple[int, int] = (0, 0)
    """Units of the stage that are done, and in all."""


@dataclass
class BatchState:
    """All that is shown of a batch."""

    now: Callable[[], float] = time.monotonic
    tasks: tuple[str, ...] = ()
    outcomes: dict[str, TaskOutcome] = field(default_factory=dict[str, TaskOutcome])
    running: dict[str, Running] = field(default_factory=dict[str, Running])
    ended_now: int = 0
    """Tasks that ended since this invocation began."""
    usage: Usage = field(default_factory=Usage)
    """Of this invocation."""
    in_flight: int = 0
    """Model calls."""
    words: str = ""
    """What was said last about what all tasks share."""
    money_before: float = 0.0
    """Of earlier invocations, as far as their tasks have ended."""

    def __post_init__(self) -> None:
        self.start = self.now()

    @property
    def elapsed(self) -> float:
        return self.now() - self.start

    @property
    def counts(self) -> Counter[Status]:
        return Counter(outcome.status for outcome in self.outcomes.values())

    @property
    def left(self) -> int:
        return len(self.tasks) - len(self.outcomes)

    @property
    def resolved(self) -> float:
        return estimate(self.outcomes)

    @property
    def money(self) -> float:
        return self.money_before + self.usage.money

    @property
    def per_hour(self) -> float:
        """Tasks ended in an hour; 0 before the first."""
        return self.ended_now / self.elapsed * 3600 if self.elapsed > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """By the throughput so far; None before the first task has ended."""
        return self.left / self.per_hour * 3600 if self.per_hour else None

    def began(self, tasks: Sequence[str], known: Mapping[str, TaskOutcome]) -> None:
        self.tasks = tuple(tasks)
        self.outcomes = dict(known)
        self.money_before = sum(outcome.usage.money for outcome in known.values())

    def task(self, name: str) -> None:
        self.running[name] = Running(self.now())

    def ended(self, outcome: TaskOutcome) -> None:
        self.running.pop(outcome.instance_id, None)
        self.outcomes[outcome.instance_id] = outcome
        self.ended_now += 1


class TaskWatcher(Silence):
    """Keeps a batch's state of one task; `tell` hears what is said about it."""

    def __init__(self, state: BatchState, name: str, tell: Callable[[str], None]) -> None:
        self._state = state
        self._row = state.running[name]
        self._name = name
        self._tell = tell
        self._asked: dict[int, int] = {}

    def began(self, stage: str) -> None:
        self._row.stage, self._row.count = stage, (0, 0)

    def ended(self, stage: str, seconds: float) -> None:
        # Model and environment are opened side by side; then it stands in line.
        self._row.stage = {"environment": "waits", "model": self._row.stage}.get(stage, stage)

    def stage(self, stage: str, done: int, total: int) -> None:
        if stage in ("propose", "matrix", "survey"):
            self._row.count = (done, total)

    def asked(self, request: Request, n: int) -> None:
        self._state.in_flight += n
        self._asked[id(request)] = n

    def answered(self, request: Request, completions: tuple[Completion, ...]) -> None:
        self._state.in_flight -= self._asked.pop(id(request), 0)
        for completion in completions:
            self._state.usage += completion.usage

    def said(self, source: str, text: str) -> None:
        if source != "model":
            self._tell(f"{self._name}: {source}: {text.strip()}")

    def finished(self, result: Result) -> None:
        self._state.running.pop(self._name, None)
