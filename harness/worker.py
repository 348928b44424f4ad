"""A worker process of a batch: solves the jobs that its parent hands over, with an event loop of its own.

`harness.processes` starts it. It ends with its parent, or when that wants it to. Signals are the parent's business,
which cancels its workers in order.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress

import anyio

from agent.errors import ModelError
from agent.model.base import Usage
from harness.at_work import AtWork
from harness.batch_record import NO_USAGE
from harness.budget import Budget
from harness.channel import Channel
from harness.commands.common import configure_logs
from harness.config import BudgetSettings
from harness.job import RUNS_BUDGET, Job
from harness.lock import worker_lock
from harness.messages import Begin, Remark, Solve, Solved, Spent, Stop, Told, ToParent, Used
from harness.outcome import error_record
from harness.relay import Relay
from harness.result import ErrorRecord
from harness.run import unwrapped
from harness.shared import Shared
from sandbox.errors import SandboxError

_PR_SET_PDEATHSIG = 1
GATHER_SECONDS = 0.02
"""Messages of so long go together: the parent's loop serves all workers."""


class Outbox:
    """Messages to the parent, in their order, sent without anybody having to wait."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._waiting: list[ToParent] = []
        self._filled = anyio.Event()
        self._closed = False

    def put(self, message: ToParent) -> None:
        self._waiting.append(message)
        self._filled.set()

    def close(self) -> None:
        """`deliver` ends once what was put before is sent."""
        self._closed = True
        self._filled.set()

    async def deliver(self) -> None:
        """Sends all that is put, until it is closed. Nobody is there to be told when the parent is gone."""
        with suppress(OSError):
            while not self._closed or self._waiting:
                await self._filled.wait()
                self._filled = anyio.Event()
                messages, self._waiting = self._waiting, []
                if messages:
                    await self._channel.send(messages)
                if not self._closed:
                    await anyio.sleep(GATHER_SECONDS)


class PartBudget(Budget):
    """The run's budget as a worker sees it. What is spent is the parent's to add up, which says when it is too much;
    the clock is the same for all.
    """

    def __init__(self, begin: Begin, outbox: Outbox) -> None:
        super().__init__(BudgetSettings(wall_seconds=begin.wall_seconds), NO_USAGE, name=RUNS_BUDGET)
        self._start = begin.began
        self._outbox = outbox
        self._told: Spent | None = None

    def add(self, usage: Usage) -> None:
        self._outbox.put(Used(usage))

    def end(self, spent: Spent) -> None:
        self._told = spent

    def check(self) -> None:
        if self._told is not None:
            self._refuse(self._told.limit, self._told.message)
        super().check()


async def work(channel: Channel) -> None:
    """Until the parent closes its end: what is under way then is cancelled, and goes on from its journal later."""
    first = await channel.receive()
    if not first or not isinstance(begin := first[0], Begin):
        return
    configure_logs(begin.debug)
    outbox = Outbox(channel)
    with worker_lock(begin.terms.run):
        async with anyio.create_task_group() as group:
            group.start_soon(outbox.deliver)
            try:
                await _solving(channel, begin, first[1:], outbox)
            except (ModelError, SandboxError) as error:
                outbox.put(Stop(error_record(error)))
            except Exception as error:
                message = f"{error}\nthis is a defect in bestpatch: please report it"
                outbox.put(Stop(ErrorRecord(kind=type(error).__name__, message=message)))
            outbox.close()


async def _solving(channel: Channel, begin: Begin, messages: Sequence[object], outbox: Outbox) -> None:
    whole = begin.terms.settings
    part = whole.sandbox.model_copy(update={"parallel": begin.workspaces, "builds": begin.builds})
    shared = Shared(
        whole.model_copy(update={"sandbox": part}),
        begin.terms.run,
        begin.patience,
        lambda text: outbox.put(Remark(text)),
        lambda error: outbox.put(Stop(error_record(error))),
        around=begin.around,
    )
    budget = PartBudget(begin, outbox)
    async with shared.opened(begin.served, begin.backend) as (model, backend, _):
        at_work = AtWork(
            begin.terms,
            *shared.gated(model, backend),
            workers=begin.workers,
            ahead=begin.builds,
            budget=budget,
            stop=shared.give_up,
        )

        async def one(job: Job) -> None:
            relay = Relay(lambda event: outbox.put(Told(job.id, event)))
            outbox.put(Solved(job.id, await at_work.solved(job, relay)))

        with unwrapped():
            async with anyio.create_task_group() as tasks:
                while True:
                    for message in messages:
                        match message:
                            case Solve(job):
                                tasks.start_soon(one, job)
                            case Spent():
                                budget.end(message)
                            case _:
                                raise TypeError(f"no message for a worker: {type(message).__name__}")
                    messages = await channel.receive()
                    if not messages:
                        break
                tasks.cancel_scope.cancel()


def _bound_to(parent: int) -> None:
    """Have the kernel end us with our parent, at once: the loop sees a closed channel only when it is idle."""
    with suppress(OSError, AttributeError):  # no such call outside Linux
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)


def _not_ours(_number: int, _frame: object) -> None:
    """The parent has got it too. A handler, unlike SIG_IGN, is not inherited by the programs that we start."""


def main(descriptor: int, parent: int) -> None:
    """`descriptor`: our end of the channel; `parent`: the process that has the other one."""
    _bound_to(parent)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _not_ours)
    os.set_inheritable(descriptor, False)
    channel = Channel(socket.socket(fileno=descriptor))
    anyio.run(work, channel)
