"""The live view of a batch, its bookkeeping, and the plain lines."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from agent.model.base import Stage
from harness.batch_live import BatchLines, BatchView, batch_watcher_for, how_it_ended
from harness.batch_record import NO_USAGE, TaskOutcome
from harness.batch_watch import BatchSilence, BatchState, BatchWatcher
from harness.commands.batch import told
from harness.report.batch import render_batch
from harness.result import ErrorRecord, SavedRecord, Status
from tests.harness.test_live import ANSWER, Clock, request


def outcome(name: str, status: Status = Status.SELECTED, **more: object) -> TaskOutcome:
    values: dict[str, object] = {"instance_id": name, "digest": "d", "status": status, "candidates": 4, **more}
    return TaskOutcome.model_validate(values)


def half_way(watcher: BatchWatcher, clock: Clock) -> None:
    """Six tasks: one done before, one done now, one failed, two under way, one waiting."""
    known = {"t0": outcome("t0", confidence=0.9, usage=NO_USAGE.model_copy(update={"money": 1.0}))}
    watcher.began([f"t{number}" for number in range(6)], known)
    for number in (1, 2, 3, 4):
        task = watcher.task(f"t{number}")
        task.began("environment")
        task.said("environment", "step 3\x1b[31m of 9\n")
    asked = request(Stage.EDITING, 0)
    task.asked(asked, 3)
    task.answered(asked, (ANSWER,))
    task.asked(request(Stage.EDITING, 1), 2)
    task.began("candidates")
    task.stage("propose", 3, 8)
    clock.time += 3600.0
    watcher.ended(outcome("t1", confidence=0.6, wall_seconds=90.0))
    error = ErrorRecord(kind="EnvironmentUnavailable", message="pip failed\x1b[2J\nsay how")
    watcher.ended(outcome("t2", Status.FAILED, error=error))
    watcher.said("the model: refused; waiting for up to 300 s")


def test_what_is_known_half_way() -> None:
    clock = Clock()
    state = BatchState(now=clock)
    half_way(BatchLines(io.StringIO(), state), clock)
    assert state.counts == {Status.SELECTED: 2, Status.FAILED: 1}
    assert (state.left, len(state.running), state.in_flight) == (3, 2, 2)
    assert state.resolved == pytest.approx(1.5)
    assert state.per_hour == pytest.approx(2.0)
    assert state.seconds_left == pytest.approx(5400.0)
    assert state.money == pytest.approx(1.25)


def test_plain_lines() -> None:
    clock, stream = Clock(), io.StringIO()
    half_way(BatchLines(stream, BatchState(now=clock)), clock)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "[00:00] 6 tasks, 1 of them done already"
    assert "[00:00] t1: begins" in lines
    assert "[60:00] t1: selected, confidence 0.60 of 4 candidates; 1:30" in lines
    assert any("t2: failed: EnvironmentUnavailable: pip failed" in line for line in lines)
    assert any("2 of 6 done, 3 running" in line and "$1.25" in line for line in lines)
    assert "\x1b" not in stream.getvalue()


def test_the_picture() -> None:
    clock = Clock()
    console = Console(file=io.StringIO(), width=140, height=30, force_terminal=False)
    view = BatchView(console, BatchState(now=clock))
    half_way(view, clock)
    view._live.stop()  # pyright: ignore[reportPrivateUsage]
    console.print(view.picture())
    file = console.file
    assert isinstance(file, io.StringIO)
    shown = file.getvalue()
    for words in (
        *("2 of 6 done, 2 running, 1 failed; about 1.5 resolved; 2 tasks/h; $1.25; 1:30:00 left",),
        *("2 selected", "1 failed", "t4", "candidates", "✗ t2: failed: EnvironmentUnavailable"),
        *("1,000 read (90% cached)", "2 in flight", "the model: refused"),
    ):
        assert words in shown, words
    assert "\x1b" not in shown


def test_who_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(batch_watcher_for(io.StringIO(), quiet=True, plain=False), BatchSilence)
    assert isinstance(batch_watcher_for(io.StringIO(), quiet=False, plain=False), BatchLines)


def test_a_task_that_the_budget_ended() -> None:
    said = how_it_ended(outcome("t", confidence=0.5, budget_spent="run's budget: money"))
    assert said == "selected, confidence 0.50 of 4 candidates (ended early by the budget: run's budget: money)"


def test_what_was_saved_is_added_up(tmp_path: Path) -> None:
    from harness.batch_record import BatchSummary, counts_of, line_of
    from harness.saving import together

    saved = [
        SavedRecord(candidates=24, completion_tokens=9_600, money=0.5),
        SavedRecord(candidates=8, completion_tokens=2_800, money=0.25),
        None,
        SavedRecord(candidates=1, completion_tokens=0, money=None),
    ]
    outcomes = [outcome(f"t{number}", saved=each) for number, each in enumerate(saved)]
    lines = tuple(line_of(each.instance_id, each) for each in outcomes)
    summary = BatchSummary(
        tasks=4,
        counts=counts_of(lines),
        resolved_estimate=0.0,
        usage=NO_USAGE,
        saved=together(saved),
        sandbox_seconds=0.0,
        wall_seconds=1.0,
        tasks_per_hour=0.0,
        lines=lines,
    )
    assert summary.saved == SavedRecord(candidates=33, completion_tokens=12_400, money=0.75)
    said = "33 candidates were not made, which saved about 12,000 completion tokens and $0.75"
    assert said in told(summary, tmp_path)
    space = "\N{NARROW NO-BREAK SPACE}"
    assert f"Sampling ended early on 3 tasks: {said.replace(',0', f'{space}0')}." in render_batch(summary)
    without = summary.model_copy(update={"saved": together([None])})
    assert "not made" not in told(without, tmp_path) + render_batch(without)


def test_what_strangers_wrote_is_escaped_in_the_report(tmp_path: Path) -> None:
    from harness.batch_record import BatchSummary, counts_of, line_of

    error = ErrorRecord(kind="InstanceError", message="<script>alert(1)</script>\x1b[31m")
    lines = (line_of("t0", outcome("t0", Status.FAILED, error=error)), line_of("t1", None))
    summary = BatchSummary(
        tasks=2,
        counts=counts_of(lines),
        resolved_estimate=0.0,
        usage=NO_USAGE,
        sandbox_seconds=0.0,
        wall_seconds=1.0,
        tasks_per_hour=0.0,
        stopped=error,
        lines=lines,
    )
    page = render_batch(summary)
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    assert "1 waiting" in page
    assert "the same command" in told(summary, tmp_path)
    assert "\x1b" not in told(summary, tmp_path)
