"""Rows 22, 23 and 31 of the faults for a batch of several processes: killed, interrupted, begun again at once."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import pytest

from harness.result import Result, Status
from tests.faults.test_batch_kills import (
    ROOT,
    TASKS,
    Start,
    ended,
    journaled,
    predictions,
    server,
    start,
    summary_of,
)
from tests.waiting import alive, wait_gone, wait_until

sys.path.append(str(ROOT / "benchmarks"))
from answers import AnswerServer

__all__ = ["server", "start"]
SEVERAL = ("--processes", "2", "--workers", "2", "--pause", "0.01")


def workers(parent: int) -> list[int]:
    """Worker processes of a batch that is running."""
    return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def asked(server: AnswerServer, number: int) -> None:
    wait_until(lambda: len(server.asked) >= number)


@pytest.mark.timeout(900)  # a busy machine takes more lives, each a start
def test_row_22_killed_at_random_moments_it_ends_as_if_nothing_had_been(
    start: Start, server: AnswerServer, tmp_path: Path
) -> None:
    server.seconds = 0.03
    ended(start(tmp_path / "whole", "--pause", "0.01"), 0)
    whole, calls = predictions(tmp_path / "whole"), len(server.asked)
    dice, run = random.Random(22), tmp_path / "run"
    for life in range(3):
        known, before = journaled(run), len(server.asked)
        process = start(run, *SEVERAL)
        asked(server, before + 1)
        children = workers(process.pid)
        assert len(children) == 2
        if life < 2:
            time.sleep(dice.uniform(0.0, 0.3))
            process.kill()
            process.wait()
            wait_gone(children, 60.0)  # none outlives its parent
        else:
            ended(process, 0)
        again = [call.key for call in server.asked[before:]]
        assert known.isdisjoint(again), "what was answered and kept is asked again"
        assert len(again) == len(set(again))
    assert predictions(run) == whole
    assert len(journaled(run)) == calls
    assert summary_of(run).usage.calls == summary_of(tmp_path / "whole").usage.calls


@pytest.mark.parametrize("group", [False, True], ids=["the parent alone", "its process group"])
def test_row_23_a_signal_leaves_partial_reports_and_the_run_goes_on(
    start: Start, server: AnswerServer, tmp_path: Path, group: bool
) -> None:
    server.seconds = 0.1
    run = tmp_path / "run"
    process = start(run, *SEVERAL)
    assert process.stderr is not None
    for line in process.stderr:
        if "selected, confidence" in line:
            break
    children = workers(process.pid)
    assert len(children) == 2
    if group:  # as an init system does, which sends a signal to all processes of a service
        for pid in children:
            os.kill(pid, signal.SIGTERM)
    process.send_signal(signal.SIGTERM if group else signal.SIGINT)
    said = ended(process, 130)
    assert "stopping" in said
    assert "has ended" not in said, "no worker was lost"
    assert not any(map(alive, children))
    summary = summary_of(run)
    assert summary.interrupted
    assert 0 < summary.counts["selected"] < TASKS
    assert summary.counts["waiting"] == TASKS - summary.counts["selected"]
    partial = [Result.model_validate_json(path.read_bytes()).status for path in run.glob("tasks/*/result.json")]
    assert Status.INTERRUPTED in partial
    known, before = journaled(run), len(server.asked)
    ended(start(run, *SEVERAL), 0)
    assert known.isdisjoint(call.key for call in server.asked[before:])
    assert len(predictions(run)) == TASKS


def test_row_23_a_second_signal_ends_workers_as_well(start: Start, server: AnswerServer, tmp_path: Path) -> None:
    server.seconds = 600.0
    process = start(tmp_path / "run", *SEVERAL)
    asked(server, 2)
    children = workers(process.pid)
    for pid in children:
        os.kill(pid, signal.SIGSTOP)  # so that none ends by itself after the first signal
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert any("stopping" in line for line in process.stderr)
    process.send_signal(signal.SIGINT)
    ended(process, 130)
    wait_gone(children, 60.0)


def test_row_31_begun_again_at_once_no_task_fails_of_a_worker_that_is_dying(
    start: Start, server: AnswerServer, tmp_path: Path
) -> None:
    server.seconds = 600.0
    run = tmp_path / "run"
    first = start(run, *SEVERAL)
    asked(server, 2)
    first.kill()
    first.wait()
    server.seconds = 0.0
    ended(start(run, *SEVERAL), 0)
    assert summary_of(run).counts == {"selected": TASKS}
