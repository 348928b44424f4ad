"""A worker, in this process: what it is told, what it says, and when it ends."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from agent.errors import BudgetSpent
from agent.model.base import Usage
from agent.model.profile import profile_for
from agent.model.served import Served
from harness.batch_record import NO_USAGE
from harness.budget import Budget
from harness.channel import Channel
from harness.config import BudgetSettings
from harness.job import Terms
from harness.messages import Begin, Solve, Solved, Spent, Stop, Told, Used
from harness.result import Status
from harness.worker import Outbox, PartBudget, work
from tests.faults.drive_batch import MODEL, answer, jobs, judged, settings
from tests.harness.conftest import FILES

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from answers import AnswerServer
from noop import MemoryBackend

ROOT = Path(__file__).parents[2]


@pytest.fixture
def server() -> Generator[AnswerServer]:
    with AnswerServer(answer, MODEL) as server:
        yield server


@pytest.fixture
def channels() -> Generator[tuple[Channel, Channel]]:
    ends = tuple(map(Channel, socket.socketpair()))
    yield ends[0], ends[1]
    for end in ends:
        end.close()


@pytest.fixture
def begin(server: AnswerServer, tmp_path: Path) -> Begin:
    return Begin(
        Terms(settings(server.url), tmp_path, "limits"),
        Served(MODEL, (server.url,), profile_for(MODEL), None),
        MemoryBackend(FILES, judged),
        around=None,
        workspaces=2,
        builds=1,
        workers=2,
        patience=0.05,
        wall_seconds=None,
        began=time.monotonic(),
        debug=False,
    )


async def said(channels: tuple[Channel, Channel], told: Sequence[object], ends: int) -> list[object]:
    """All that a worker says that is told this, until so many jobs have ended."""
    ours, theirs = channels
    got: list[object] = []
    async with anyio.create_task_group() as group:
        group.start_soon(work, theirs)
        await ours.send(told)
        while sum(isinstance(each, Solved | Stop) for each in got) < ends:
            messages = await ours.receive()
            assert messages, "it has ended"
            got += messages
        ours.end()  # and with that it ends
    return got


async def test_jobs_are_solved_and_what_they_spend_is_said(
    channels: tuple[Channel, Channel], begin: Begin, server: AnswerServer
) -> None:
    got = await said(channels, [begin, *map(Solve, jobs(3))], 3)
    ended = {each.job: each.outcome for each in got if isinstance(each, Solved)}
    assert sorted(ended) == ["task-00", "task-01", "task-02"]
    assert {outcome and outcome.status for outcome in ended.values()} == {Status.SELECTED}
    used = [each.usage for each in got if isinstance(each, Used)]
    assert sum(usage.calls for usage in used) == len(server.asked)
    first = next(number for number, each in enumerate(got) if isinstance(each, Told))
    assert first < next(number for number, each in enumerate(got) if isinstance(each, Solved))


async def test_a_budget_that_is_spent_already_lets_nothing_be_asked(
    channels: tuple[Channel, Channel], begin: Begin, server: AnswerServer
) -> None:
    spent = Spent("tokens", "the run's budget's tokens limit is reached")
    got = await said(channels, [begin, spent, *map(Solve, jobs(2))], 2)
    assert [each.outcome for each in got if isinstance(each, Solved)] == [None, None]
    assert server.asked == []


async def test_what_ends_all_is_said(
    channels: tuple[Channel, Channel], begin: Begin, server: AnswerServer, free_port: int
) -> None:
    nowhere = replace(begin.served, urls=(f"http://127.0.0.1:{free_port}/v1",))
    (stop,) = await said(channels, [replace(begin, served=nowhere)], 1)
    assert isinstance(stop, Stop)
    assert stop.error.kind == "ModelUnavailable"


async def test_a_defect_of_the_worker_itself_is_said(channels: tuple[Channel, Channel], begin: Begin) -> None:
    (stop,) = await said(channels, [begin, "what is this"], 1)
    assert isinstance(stop, Stop)
    assert stop.error.kind == "TypeError"
    assert "no message for a worker: str" in stop.error.message
    assert "please report it" in stop.error.message


async def test_a_parent_that_is_gone_before_it_has_said_anything(channels: tuple[Channel, Channel]) -> None:
    channels[0].close()
    with anyio.move_on_after(60) as waited:
        await work(channels[1])
    assert not waited.cancelled_caught, "it waits for a parent that is gone"


async def test_what_was_put_is_sent_before_the_outbox_closes_and_nobody_minds_a_parent_that_is_gone(
    channels: tuple[Channel, Channel],
) -> None:
    ours, theirs = channels
    outbox = Outbox(theirs)
    for number in range(3):
        outbox.put(Used(Usage(calls=number)))
    outbox.close()
    await outbox.deliver()
    assert list(await ours.receive()) == [Used(Usage(calls=number)) for number in range(3)]
    ours.close()
    late = Outbox(theirs)
    late.put(Used(Usage()))
    await late.deliver()


def test_the_runs_budget_is_told_of_and_its_clock_is_the_runs_own(
    channels: tuple[Channel, Channel], begin: Begin
) -> None:
    outbox = Outbox(channels[1])
    run = PartBudget(replace(begin, wall_seconds=100.0, began=time.monotonic() - 40.0), outbox)
    task = Budget(BudgetSettings(), NO_USAGE, within=run)
    assert 0 < run.seconds_left() <= 60.0
    task.add(Usage(prompt_tokens=10**9))
    task.check()  # a worker does not know the limit
    run.end(Spent("tokens", "the limit is reached"))
    with pytest.raises(BudgetSpent, match="the limit is reached"):
        task.check()
    assert task.spent == "run's budget: tokens"
    late = PartBudget(replace(begin, wall_seconds=30.0, began=time.monotonic() - 40.0), outbox)
    with pytest.raises(BudgetSpent, match="the run's budget's wall limit is reached: 30 s"):
        late.check()


def test_a_worker_whose_parent_has_died_meanwhile_ends() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        program = f"from harness.worker import main; main({theirs.fileno()}, {os.getpid() + 1})"
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "-c", program], pass_fds=[theirs.fileno()], env=environment)
    assert done.returncode == 1
