"""Rows 22, 23, 31 and 32 of the faults: a batch's process is killed, stopped, started twice; its disk is full."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from harness.batch_record import BatchSummary
from harness.journal import FILE_NAME
from harness.result import Result, Status

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "benchmarks"))
from answers import AnswerServer  # noqa: E402

from tests.faults.drive_batch import MODEL, answer  # noqa: E402
from tests.waiting import wait_until  # noqa: E402

Start = Callable[..., "subprocess.Popen[str]"]
TASKS = 6


@pytest.fixture
def server() -> Generator[AnswerServer]:
    with AnswerServer(answer, MODEL) as server:
        yield server


@pytest.fixture
def start(tmp_path: Path, server: AnswerServer) -> Generator[Start]:
    """Starts a batch in a process of its own."""
    started: list[subprocess.Popen[str]] = []

    def start(run: Path, *more: str, count: int = TASKS) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.drive_batch", str(run), server.url, str(count), *more],
            cwd=ROOT,
            env={**os.environ, "BESTPATCH_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


def predictions(run: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (run / "predictions.jsonl").read_text().splitlines()]


def summary_of(run: Path) -> BatchSummary:
    return BatchSummary.model_validate_json((run / "summary.json").read_bytes())


def journaled(run: Path) -> set[str]:
    """Keys of the requests whose answers are in the journals of a run."""
    found: set[str] = set()
    for path in run.glob(f"tasks/*/{FILE_NAME}"):
        db = sqlite3.connect(path)
        try:
            found |= {str(row[0]) for row in db.execute("SELECT DISTINCT key FROM completions")}
        except sqlite3.OperationalError:
            pass  # killed before it had its tables
        finally:
            db.close()
    return found


def ended(process: subprocess.Popen[str], code: int) -> str:
    _, said = process.communicate(timeout=200)
    assert process.returncode == code, said
    assert "Traceback" not in said
    return said


@pytest.mark.timeout(900)  # a busy machine takes more lives, each a start
def test_row_22_killed_at_random_moments_it_ends_as_if_nothing_had_been(
    start: Start, server: AnswerServer, tmp_path: Path
) -> None:
    server.seconds = 0.03
    ended(start(tmp_path / "whole", "--pause", "0.01"), 0)
    whole, calls = predictions(tmp_path / "whole"), len(server.asked)
    assert len(whole) == TASKS
    dice, run, kills = random.Random(22), tmp_path / "run", 0
    while True:
        known, before = journaled(run), len(server.asked)
        process = start(run, "--pause", "0.01")
        # From the first request on, so that each life gets somewhere.
        while process.poll() is None and len(server.asked) == before:
            time.sleep(0.01)
        time.sleep(dice.uniform(0.0, 0.4))
        process.kill()
        _, said = process.communicate()
        again = [call.key for call in server.asked[before:]]
        assert known.isdisjoint(again), "what was answered and kept is asked again"
        assert len(again) == len(set(again)), said
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, said
        kills += 1
        assert kills < 60
    assert kills >= 3
    assert predictions(run) == whole
    assert len(journaled(run)) == calls
    summary, other = summary_of(run), summary_of(tmp_path / "whole")
    assert summary.usage.calls == other.usage.calls
    assert summary.resolved_estimate == other.resolved_estimate


def test_row_22_a_torn_last_line_of_a_journal_is_passed_over(
    start: Start, server: AnswerServer, tmp_path: Path
) -> None:
    """Power loss in the middle of a write: the write-ahead log ends in rubbish."""
    server.seconds = 0.05
    run = tmp_path / "run"
    process = start(run, count=2)
    wait_until(lambda: len(server.answered) >= 4)
    process.kill()
    process.communicate()
    logs = list(run.glob(f"tasks/*/{FILE_NAME}-wal"))
    assert logs
    for log in logs:
        with log.open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            file.truncate(max(0, size - 700))
            file.seek(0, os.SEEK_END)
            file.write(os.urandom(300))
    ended(start(run, count=2), 0)
    ended(start(tmp_path / "whole", count=2), 0)
    assert predictions(run) == predictions(tmp_path / "whole")


@pytest.fixture
def small_disk(tmp_path: Path) -> Generator[Path]:
    """A file system of 2 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True)
    if done.returncode:
        pytest.skip("a file system can be mounted by root only")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_row_22_a_full_disk_stops_it_clearly_and_it_goes_on_with_room(
    start: Start, server: AnswerServer, small_disk: Path, tmp_path: Path
) -> None:
    run, ballast = small_disk / "run", small_disk / "ballast"
    ballast.write_bytes(b"x" * 900_000)
    said = ended(start(run), 4)
    assert "disk" in said
    assert "free some disk, then run the same command" in said
    part = [json.loads(line)["instance_id"] for line in (run / "predictions.jsonl").read_text().splitlines()]
    assert len(part) < TASKS
    for path in run.rglob("result.json"):
        Result.model_validate_json(path.read_bytes())  # whole or not there
    assert list(run.rglob("*.part")) == []
    known, before = journaled(run), len(server.asked)
    ballast.unlink()
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    ended(start(run), 0)
    assert known.isdisjoint(call.key for call in server.asked[before:])
    ended(start(tmp_path / "whole"), 0)
    assert predictions(run) == predictions(tmp_path / "whole")


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_row_23_a_signal_leaves_a_partial_report_and_the_run_goes_on(
    start: Start, server: AnswerServer, tmp_path: Path, sent: signal.Signals
) -> None:
    server.seconds = 0.05
    run = tmp_path / "run"
    process = start(run)
    assert process.stderr is not None
    for line in process.stderr:
        if "selected, confidence" in line:
            break
    process.send_signal(sent)
    said = ended(process, 130)
    assert "stopping" in said
    summary = summary_of(run)
    assert summary.interrupted
    assert 0 < summary.counts["selected"] < TASKS
    assert summary.counts["waiting"] == TASKS - summary.counts["selected"]
    assert "Interrupted" in (run / "report.html").read_text()
    assert len(predictions(run)) == summary.counts["selected"]
    partial = [Result.model_validate_json(path.read_bytes()).status for path in run.glob("tasks/*/result.json")]
    assert Status.INTERRUPTED in partial
    known, before = journaled(run), len(server.asked)
    ended(start(run), 0)
    assert known.isdisjoint(call.key for call in server.asked[before:])
    assert len(predictions(run)) == TASKS


def test_row_23_a_second_signal_ends_it_at_once(start: Start, server: AnswerServer, tmp_path: Path) -> None:
    server.seconds = 600.0
    process = start(tmp_path / "run")
    wait_until(lambda: bool(server.asked))
    for _ in range(100):  # the second one may come before the first was seen: then it is the first
        process.send_signal(signal.SIGINT)
        try:
            process.wait(0.1)
            break
        except subprocess.TimeoutExpired:
            continue
    # By the signal itself where it came while the interpreter was already ending: a shell shows both as 130.
    assert process.poll() in (130, -signal.SIGINT), "it has ended by the signals, not later by itself"
    ended(process, process.returncode)


def test_row_31_a_second_run_on_the_same_directory_is_told_who_has_it(
    start: Start, server: AnswerServer, tmp_path: Path
) -> None:
    server.seconds = 3600.0
    run = tmp_path / "run"
    first = start(run)
    wait_until(lambda: bool(server.asked))
    said = ended(start(run), 2)
    assert f"{run} is in use by process {first.pid} on " in said
    assert "--run" in said
    first.kill()
    first.wait()
    server.seconds = 0.0
    ended(start(run), 0)  # whoever was killed holds nothing
    # The same again, as a CI job that runs twice does: nothing is done.
    asked = len(server.asked)
    ended(start(run), 0)
    assert len(server.asked) == asked


def test_row_32_a_budget_reached_in_the_middle_keeps_what_is_there_and_says_so(
    start: Start, server: AnswerServer, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    ended(start(tmp_path / "whole"), 0)
    total = summary_of(tmp_path / "whole").usage
    half = (total.prompt_tokens + total.completion_tokens) // 2
    ended(start(run, "--tokens", str(half), "--workers", "1"), 5)
    summary = summary_of(run)
    assert summary.budget_spent == "tokens"
    assert 0 < len(predictions(run)) < TASKS
    assert "budget was spent" in (run / "report.html").read_text()
    ended(start(run), 0)
    assert predictions(run) == predictions(tmp_path / "whole")
    assert summary_of(run).usage.calls == total.calls
