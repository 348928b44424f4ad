"""What the live view knows of a run: pure bookkeeping over what a `Watcher` is told."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from agent.model.base import Completion, Request, Stage, Usage
from agent.trajectory import Outcome, Turn
from harness.result import Result

STAGES = ("model", "environment", "context", "candidates", "selection")

TESTED = {
    Outcome.SCRIPT_VALID: ("good", "valid"),
    Outcome.SCRIPT_INVALID: ("poor", "does not show the issue"),
    Outcome.UNREADABLE: ("poor", "unreadable"),
}
EDITED = {
    Outcome.EDIT_PASSED: ("good", "passes its test"),
    Outcome.EDIT_APPLIED: ("fair", "applies"),
    Outcome.EDIT_INVALID: ("poor", "does not apply"),
    Outcome.UNREADABLE: ("poor", "unreadable"),
    Outcome.SCRIPT_VALID: ("fair", "new test"),
    Outcome.SCRIPT_INVALID: ("poor", "new test is not valid"),
}
"""Outcome of a turn -> how good it is, and in words."""


@dataclass
class Step:
    """Where a trajectory's test script or edit stands."""

    mood: str = ""
    """good, fair, poor, or "" before the first outcome."""
    words: str = ""
    turns: int = 0
    asking: bool = False
    checking: bool = False
    """The answer is there and its code runs in a sandbox."""


@dataclass
class Row:
    """One trajectory."""

    test: Step = field(default_factory=Step)
    edit: Step = field(default_factory=Step)
    failed: str = ""


@dataclass
class Clock:
    began: float
    seconds: float | None = None
    """None while it runs."""


@dataclass
class State:
    """All that is shown. `stages` by name; `counts` are a stage's units done and in all."""

    now: Callable[[], float] = time.monotonic
    stages: dict[str, Clock] = field(default_factory=dict[str, Clock])
    counts: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    rows: dict[str, Row] = field(default_factory=dict[str, Row])
    said: dict[str, str] = field(default_factory=dict[str, str])
    votes: dict[str, float] = field(default_factory=dict[str, float])
    usage: Usage = field(default_factory=Usage)
    in_flight: int = 0
    result: Result | None = None

    def __post_init__(self) -> None:
        self.start = self.now()

    @property
    def elapsed(self) -> float:
        return self.now() - self.start

    def row(self, trajectory: str) -> Row:
        return self.rows.setdefault(trajectory, Row())

    def began(self, stage: str) -> None:
        self.stages[stage] = Clock(self.now())

    def ended(self, stage: str, seconds: float) -> None:
        self.stages[stage].seconds = seconds
        self.said.pop(stage, None)

    def asked(self, request: Request, n: int) -> None:
        self.in_flight += n
        self._asking(request, n, True)

    def answered(self, request: Request, completions: tuple[Completion, ...], n: int) -> None:
        self.in_flight -= n
        self._asking(request, n, False)
        self._checking(request, n if completions else 0)
        for completion in completions:
            self.usage += completion.usage

    def turn(self, turn: Turn) -> Step | None:
        """Note a turn; the step it belongs to, None for stages without trajectories of their own."""
        if turn.stage is Stage.TEST_WRITING:
            step, table = self.row(turn.trajectory).test, TESTED
        elif turn.stage is Stage.EDITING:
            step, table = self.row(turn.trajectory).edit, EDITED
        else:
            return None
        step.mood, step.words = table.get(turn.outcome, ("fair", turn.outcome.value))
        step.turns = turn.index + 1
        step.asking = step.checking = False
        return step

    def note(self, kind: str, detail: dict[str, object]) -> None:
        if kind == "trajectory_failed":
            self.row(str(detail.get("trajectory"))).failed = str(detail.get("error"))
        elif kind == "votes":
            for column, standing in detail.items():
                if isinstance(standing, dict):
                    self.votes[column] = float(str(standing.get("votes", 0)))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]

    def _asking(self, request: Request, n: int, now: bool) -> None:
        for step in self._steps(request, n):
            step.asking = now

    def _checking(self, request: Request, n: int) -> None:
        for step in self._steps(request, n):
            step.checking = True

    def _steps(self, request: Request, n: int) -> list[Step]:
        """What a request writes: one request may draw the same turn of several trajectories."""
        match = re.fullmatch(r"(.*-)(\d+)", request.trajectory)
        if request.stage not in (Stage.TEST_WRITING, Stage.EDITING) or match is None:
            return []
        rows = [self.row(f"{match[1]}{number}") for number in range(int(match[2]), int(match[2]) + n)]
        return [row.test if request.stage is Stage.TEST_WRITING else row.edit for row in rows]


def duration(seconds: float) -> str:
    """`4.2 s`, `1:07`, `1:02:03`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def title(text: str) -> str:
    """An issue's first line that says something, without the marks of a heading."""
    return next((line.strip(" #=-\t") for line in text.splitlines() if line.strip(" #=-\t")), "")
