"""The live view's bookkeeping, its picture, and the plain lines."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from agent.model.base import Completion, Message, Request, Sampling, Stage, Usage
from agent.task import Task
from agent.trajectory import Outcome, Turn
from harness import local_task
from harness.live import LiveView, PlainLines, watcher_for
from harness.progress import Both, Silence, Watcher
from harness.progress_state import State, duration, title
from tests.harness.conftest import ISSUE
from tests.harness.report_fixture import selected

ANSWER = Completion(
    "x", "stop", Usage(prompt_tokens=1000, cached_tokens=900, completion_tokens=50, money=0.25, calls=1)
)


class Clock:
    """Stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


def request(stage: Stage, number: int, turn: int = 0) -> Request:
    return Request((Message("user", f"{stage} {number} {turn}"),), Sampling(), stage, f"trajectory-{number}", turn)


def turn(stage: Stage, number: int, index: int, outcome: Outcome) -> Turn:
    return Turn(stage, f"trajectory-{number}", index, "p", ANSWER, outcome, "")


@pytest.fixture
def task(repo: Path) -> Task:
    return local_task(repo, "# " + ISSUE)


def half_way(watcher: Watcher, clock: Clock) -> None:
    """Tells a watcher of a run that is in its candidates."""
    for stage, seconds in (("model", 2.0), ("environment", 8.0), ("context", 0.5)):
        watcher.began(stage)
        watcher.said(stage, f"step of {stage}\x1b[31m\n")
        clock.time += seconds
        watcher.ended(stage, seconds)
    watcher.began("candidates")
    watcher.stage("propose", 0, 3)
    first = request(Stage.TEST_WRITING, 0)
    watcher.asked(first, 3)
    clock.time += 5.0
    watcher.answered(first, (ANSWER, replace(ANSWER, usage=Usage(completion_tokens=50)), ANSWER))
    watcher.turn(turn(Stage.TEST_WRITING, 0, 0, Outcome.SCRIPT_VALID))
    watcher.turn(turn(Stage.TEST_WRITING, 1, 0, Outcome.SCRIPT_INVALID))
    watcher.asked(request(Stage.TEST_WRITING, 1, 1), 1)
    watcher.asked(request(Stage.EDITING, 0), 1)
    watcher.answered(request(Stage.EDITING, 0), (ANSWER,))
    watcher.turn(turn(Stage.EDITING, 0, 0, Outcome.EDIT_PASSED))
    watcher.note("trajectory_failed", {"trajectory": "trajectory-2", "error": "ModelTimeout", "message": "late"})
    watcher.stage("propose", 2, 3)


def drawn(view: LiveView, console: Console) -> str:
    console.print(view.picture())
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_the_picture_of_a_run(task: Task) -> None:
    clock = Clock()
    console = Console(file=io.StringIO(), width=110, height=40)
    view = LiveView(task, console, State(now=clock))
    half_way(view, clock)
    view._live.stop()  # pyright: ignore[reportPrivateUsage]
    lines = drawn(view, console).splitlines()
    text = "\n".join(lines)
    assert f"repo @ {task.base_commit[:8]}  add returns the difference" in text
    assert "15.5 s" in text
    assert "✓ model 2.0 s" in text
    assert "✓ environment 8.0 s" in text
    assert "· selection" in text
    rows = {line.split()[0]: line for line in lines if line.split() and line.split()[0] in ("0", "1", "2")}
    assert "✓ valid" in rows["0"]
    assert "✓ passes its test" in rows["0"]
    assert "writing, turn 2 (does not show the issue)" in rows["1"]
    assert "✗ ModelTimeout" in rows["2"]
    assert "3,000 read (90% cached), 200 written" in text
    assert "$0.75" in text
    assert "1 in flight" in text
    assert "\x1b" not in text


def test_the_picture_of_the_selection(task: Task) -> None:
    clock = Clock()
    console = Console(file=io.StringIO(), width=110, height=40)
    view = LiveView(task, console, State(now=clock))
    half_way(view, clock)
    view.ended("candidates", 9.0)
    view.began("selection")
    view.stage("matrix", 3, 12)
    view.note("votes", {"c1": {"votes": 0.9, "alike": 2}, "c2": {"votes": 0.0}})
    view._live.stop()  # pyright: ignore[reportPrivateUsage]
    text = drawn(view, console)
    assert "3/12" in text
    assert "c1 █████████ 0.90" in text
    assert "c2 ▏ 0.00" in text


def test_a_low_terminal_keeps_its_last_line(task: Task) -> None:
    console = Console(file=io.StringIO(), width=80, height=24)
    view = LiveView(task, console, State(now=Clock()))
    for number in range(64):
        view.turn(turn(Stage.EDITING, number, 0, Outcome.EDIT_PASSED))
    lines = drawn(view, console).splitlines()
    assert len(lines) < 24
    assert any("51 more" in line and "51 pass" in line for line in lines)


def test_plain_lines() -> None:
    clock, stream = Clock(), io.StringIO()
    half_way(PlainLines(stream, State(now=clock)), clock)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "[00:00] model: begins"
    assert "[00:00] model: step of model [31m" in lines  # a log takes no escape sequences
    assert "[00:02] model: done in 2.0 s" in lines
    assert "[00:15] trajectory-0: editing, turn 1: passes its test" in lines
    assert "[00:15] trajectory-2: failed: ModelTimeout: late" in lines
    assert "\x1b" not in stream.getvalue()


def test_plain_lines_tell_progress_seldom_and_its_end() -> None:
    clock, stream = Clock(), io.StringIO()
    lines = PlainLines(stream, State(now=clock))
    for done in range(101):
        lines.stage("matrix", done, 100)
        clock.time += 0.125
    told = [line.partition("] ")[2] for line in stream.getvalue().splitlines()]
    assert told == ["matrix: 0 of 100", "matrix: 40 of 100", "matrix: 80 of 100", "matrix: 100 of 100"]


def test_who_watches(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(watcher_for(task, io.StringIO(), quiet=False, plain=False), PlainLines)
    assert isinstance(watcher_for(task, Terminal(), quiet=False, plain=False), LiveView)
    assert isinstance(watcher_for(task, Terminal(), quiet=False, plain=True), PlainLines)
    assert type(watcher_for(task, Terminal(), quiet=True, plain=False)) is Silence
    monkeypatch.setenv("CI", "true")
    assert isinstance(watcher_for(task, Terminal(), quiet=False, plain=False), PlainLines)


def test_a_run_that_ends_stops_the_picture(task: Task) -> None:
    console = Console(file=io.StringIO(), width=110, height=40)
    view = LiveView(task, console, State(now=Clock()))
    view.began("model")
    view.finished(selected())
    assert not view._live.is_started  # pyright: ignore[reportPrivateUsage]


def test_both_are_told() -> None:
    class Ear(Silence):
        def __init__(self) -> None:
            self.heard: list[str] = []

        def turn(self, turn: Turn) -> None:
            self.heard.append("turn")

        def stage(self, stage: str, done: int, total: int) -> None:
            self.heard.append(stage)

        def note(self, kind: str, detail: dict[str, object]) -> None:
            self.heard.append(kind)

    ears = Ear(), Ear()
    both = Both(*ears)
    both.turn(turn(Stage.EDITING, 0, 0, Outcome.EDIT_PASSED))
    both.stage("matrix", 1, 2)
    both.note("votes", {})
    assert ears[0].heard == ears[1].heard == ["turn", "matrix", "votes"]


@pytest.mark.parametrize(("seconds", "text"), [(0.04, "0.0 s"), (59.9, "59.9 s"), (67, "1:07"), (3723, "1:02:03")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("issue", "text"), [("\n\n# Title #\nmore", "Title"), ("=====\nName\n=====", "Name"), ("", ""), ("---", "")]
)
def test_titles(issue: str, text: str) -> None:
    assert title(issue) == text
