"""A batch in several processes: as in one, whatever happens to some of them."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Generator, Sequence
from contextlib import suppress
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model.scripted import load_scripted
from agent.task import Task
from harness import Settings, processes
from harness.batch import BatchSettings, Job, batch
from harness.batch_record import BatchSummary, TaskOutcome
from harness.batch_watch import BatchSilence, BatchState, TaskWatcher
from harness.config import BudgetSettings
from harness.errors import InstanceError
from harness.processes import how_many, part
from harness.progress import Watcher
from harness.result import Result, Status
from tests.faults import drive_batch
from tests.faults.drive_batch import MODEL, answer, jobs, judged, settings
from tests.harness.conftest import FILES
from tests.waiting import until

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from answers import AnswerServer
from calls import Recorder, read_calls
from noop import MemoryBackend

from tests.faults.test_batch_kills import journaled, predictions

TWO = BatchSettings(processes=2, workers=4)


@pytest.fixture
def server() -> Generator[AnswerServer]:
    with AnswerServer(answer, MODEL) as server:
        yield server


class Watch(BatchSilence):
    """Keeps what is shown of a batch, and every line."""

    def __init__(self) -> None:
        self.state = BatchState()
        self.lines: list[str] = []

    def began(self, tasks: Sequence[str], known: object) -> None:
        self.state.began(tasks, {})

    def task(self, name: str) -> Watcher:
        self.state.task(name)
        return TaskWatcher(self.state, name, self.said)

    def ended(self, outcome: TaskOutcome) -> None:
        self.state.ended(outcome)

    def said(self, text: str) -> None:
        self.lines.append(text)


async def solved(
    server: AnswerServer,
    run: Path,
    work: Sequence[Job] | int,
    how: BatchSettings = TWO,
    watcher: BatchSilence | None = None,
    **more: object,
) -> BatchSummary:
    todo = jobs(work) if isinstance(work, int) else work
    backend = MemoryBackend(FILES, judged, 0.001)
    return await batch(
        todo, settings(server.url), run=run, how=how, watcher=watcher, backend=backend, **more  # type: ignore[arg-type]
    )  # fmt: skip


def workers() -> list[int]:
    """Worker processes of this one."""
    found: list[int] = []
    for pid in Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split():
        with suppress(OSError):  # it has gone meanwhile
            if b"harness.worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(int(pid))
    return found


def solvers(run: Path) -> set[str]:
    """Who has held the tasks' directories."""
    return {path.read_text() for path in run.glob("tasks/*/lock")}


def found(folder: Path, pattern: str) -> list[Path]:
    return list(folder.glob(pattern))


def unready(folder: Path) -> Task:
    raise InstanceError("bad", "bad: no such commit")


def crash(folder: Path) -> Task:
    raise ZeroDivisionError("oops")


async def test_three_processes_come_to_what_one_comes_to(server: AnswerServer, tmp_path: Path) -> None:
    server.seconds = 0.02
    one = await solved(server, tmp_path / "one", 6, BatchSettings())
    assert solvers(tmp_path / "one") == {(tmp_path / "one" / "lock").read_text()}
    watch = Watch()
    several = BatchSettings(processes=3, workers=3)
    three = await solved(server, tmp_path / "three", 6, several, watch, around=Recorder(tmp_path / "calls.jsonl"))
    assert workers() == []
    assert len(solvers(tmp_path / "three") - solvers(tmp_path / "one")) == 3
    assert three.counts == one.counts == {"selected": 6}
    assert predictions(tmp_path / "three") == predictions(tmp_path / "one")
    assert journaled(tmp_path / "three") == journaled(tmp_path / "one")
    spent = three.usage
    assert (spent.calls, spent.prompt_tokens) == (one.usage.calls, one.usage.prompt_tokens)
    # Those who watch see it all, and it is over in the end.
    assert (watch.state.in_flight, watch.state.running) == (0, {})
    assert watch.state.usage.completion_tokens == spent.completion_tokens
    assert watch.lines == ["3 processes"]
    calls = read_calls(tmp_path / "calls.jsonl")
    assert sum(call.prompt_tokens for call in calls) == spent.prompt_tokens
    assert len(found(tmp_path, "calls.*.jsonl")) == 3, "what goes around the model is around it in each process"
    # Another number of them goes on with the same run.
    more = await solved(server, tmp_path / "three", 8, TWO)
    assert more.counts == {"selected": 8}


async def test_one_that_fails_touches_no_other(server: AnswerServer, tmp_path: Path) -> None:
    work = [*jobs(3), Job("bad", "digest", unready), Job("crash", "digest", crash)]
    summary = await solved(server, tmp_path, work)
    assert summary.counts == {"selected": 3, "failed": 2}
    kinds = {line.instance_id: line.error.kind for line in summary.lines if line.error}
    assert kinds == {"bad": "InstanceError", "crash": "ZeroDivisionError"}
    assert "ZeroDivisionError: oops" in (tmp_path / "tasks" / "crash" / "defect.log").read_text()


async def test_a_worker_that_is_killed_is_a_failure_of_its_own_tasks_and_is_replaced(
    server: AnswerServer, tmp_path: Path
) -> None:
    server.seconds = 0.3
    killed: list[int] = []

    async def kill() -> None:
        await until(lambda: len(server.answered) >= 4)
        killed.append(min(workers()))
        os.kill(killed[0], signal.SIGKILL)

    watch = Watch()
    async with anyio.create_task_group() as group:
        group.start_soon(kill)
        summary = await solved(server, tmp_path, 8, BatchSettings(processes=2, workers=2), watch)
    assert workers() == []
    failed = [line for line in summary.lines if line.error]
    assert {line.error.kind for line in failed if line.error} == {"WorkerLost"}
    assert 0 < len(failed) < 8
    assert summary.counts == {"failed": len(failed), "selected": 8 - len(failed)}
    assert len(solvers(tmp_path)) == 3, "two, and the one that took a place"
    assert len([line for line in watch.lines if f"{killed[0]} has ended by signal 9" in line]) == 1
    assert watch.state.in_flight == 0
    # What passes is tried again, and what was answered is not asked again.
    known, before = journaled(tmp_path), len(server.asked)
    server.seconds = 0.0
    assert (await solved(server, tmp_path, 8)).counts == {"selected": 8}
    assert known.isdisjoint(call.key for call in server.asked[before:])


async def test_when_no_worker_lives_the_run_is_stopped(server: AnswerServer, tmp_path: Path) -> None:
    async def kill() -> None:
        while True:
            for pid in workers():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            await anyio.sleep(0.01)

    async with anyio.create_task_group() as group:
        group.start_soon(kill)
        summary = await solved(server, tmp_path, 40)
        group.cancel_scope.cancel()
    assert summary.stopped is not None
    assert summary.stopped.kind == "WorkerLost"
    assert summary.counts["waiting"] > 0
    assert server.asked == []


async def test_the_runs_budget_is_that_of_all_processes_together(server: AnswerServer, tmp_path: Path) -> None:
    server.seconds = 0.05
    whole = await solved(server, tmp_path / "whole", 8)
    tokens = whole.usage.prompt_tokens + whole.usage.completion_tokens
    how = BatchSettings(processes=2, workers=2, budget=BudgetSettings(tokens=tokens // 2))
    run = tmp_path / "run"
    summary = await solved(server, run, 8, how)
    assert summary.budget_spent == "tokens"
    assert 0 < summary.counts["waiting"] < 8
    spent = summary.usage.prompt_tokens + summary.usage.completion_tokens
    assert tokens // 2 <= spent < tokens * 3 // 4, "it stops within the calls that were in flight"
    calls = len(server.asked)
    assert (await solved(server, run, 8, how)).counts == summary.counts
    assert len(server.asked) == calls, "the same budget buys nothing more"
    full = await solved(server, run, 8)
    assert full.counts == {"selected": 8}
    assert full.usage.calls == whole.usage.calls
    assert predictions(run) == predictions(tmp_path / "whole")


async def test_a_run_whose_time_is_up_asks_nothing(server: AnswerServer, tmp_path: Path) -> None:
    how = BatchSettings(processes=2, workers=2, budget=BudgetSettings(wall_seconds=0.01))
    summary = await solved(server, tmp_path, 4, how)
    assert summary.budget_spent == "wall"
    assert summary.counts == {"waiting": 4}
    assert server.asked == []


async def test_a_model_that_is_away_for_good_stops_the_run_and_is_told_of_once(
    server: AnswerServer, tmp_path: Path
) -> None:
    server.seconds = 0.05
    watch = Watch()

    async def leave() -> None:
        await until(lambda: len(server.asked) >= 8)
        server.status = 401

    async with anyio.create_task_group() as group:
        group.start_soon(leave)
        summary = await solved(server, tmp_path, 6, watcher=watch)
    assert summary.stopped is not None
    assert summary.stopped.kind == "ModelDenied"
    assert summary.counts["waiting"] >= 1
    assert "failed" not in summary.counts, "it is no failure of a task"
    assert len([line for line in watch.lines if line.startswith("the model: ")]) == 1
    server.status = 0
    assert (await solved(server, tmp_path, 6)).counts == {"selected": 6}


async def test_what_is_cancelled_leaves_partial_results_and_no_process(server: AnswerServer, tmp_path: Path) -> None:
    server.seconds = 3600.0
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:

            async def cancel() -> None:
                await until(lambda: len(server.asked) >= 4)
                scope.cancel()

            group.start_soon(cancel)
            await solved(server, tmp_path, 6)
    assert workers() == []
    left = BatchSummary.model_validate_json((tmp_path / "summary.json").read_bytes())
    assert left.interrupted
    assert left.counts == {"waiting": 6}
    partial = [Result.model_validate_json(path.read_bytes()).status for path in found(tmp_path, "tasks/*/result.json")]
    assert set(partial) == {Status.INTERRUPTED}


async def test_a_model_of_this_process_alone_is_asked_by_it_alone(rules: Path, tmp_path: Path) -> None:
    for model, its in ((load_scripted(rules), None), (None, f"scripted:{rules}")):
        watch, run = Watch(), tmp_path / f"run-{its is None}"
        its_settings = settings("http://127.0.0.1:1/v1").model_copy(update={"model": its})
        backend = MemoryBackend(FILES, judged)
        summary = await batch(jobs(2), its_settings, run=run, how=TWO, watcher=watch, model=model, backend=backend)
        assert summary.counts == {"selected": 2}
        assert watch.lines[0].startswith("1 of 2 processes")
        assert f"process {os.getpid()} on " in solvers(run).pop()


@given(st.integers(1, 500), st.integers(1, 64))
def test_parts_are_the_whole(whole: int, parts: int) -> None:
    each = [part(whole, parts, number) for number in range(parts)]
    assert sum(each) == max(whole, parts)
    assert max(each) - min(each) <= 1


@pytest.mark.parametrize(
    ("cores", "asked", "expected"), [(2, None, 1), (7, None, 1), (8, None, 2), (16, None, 4), (64, None, 16), (2, 5, 5)]
)
def test_how_many_processes(cores: int, asked: int | None, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes.os, "sched_getaffinity", lambda _: set(range(cores)))
    ample = {"tasks": 100, "slots": 100, "workers": 100}
    assert how_many(asked, **ample) == expected
    for limit in ample:
        assert how_many(asked, **{**ample, limit: 1}) == 1


def test_settings_as_they_are_read_go_to_other_processes(tmp_path: Path) -> None:
    import pickle

    from harness.load import load

    (tmp_path / "s.toml").write_text('seed = 3\n[environment]\nenv = {A = "b"}\n')
    read = load(config=tmp_path / "s.toml", flags={"candidates": 2})
    assert type(read) is Settings
    assert pickle.loads(pickle.dumps(read)) == read
    assert (read.seed, read.candidates, read.environment.env) == (3, 2, {"A": "b"})


async def test_a_job_that_cannot_be_pickled_is_said(server: AnswerServer, tmp_path: Path) -> None:
    work = [*jobs(1), Job("local", "digest", lambda folder: drive_batch.made("local", folder))]
    with pytest.raises(Exception, match=r"[Cc]an't (get|pickle) local object|lambda"):
        await solved(server, tmp_path, work)
    assert workers() == []
