"""A batch's tasks in several processes: one event loop is one core, and many answers at once need more than that.

    parent: journal, outcomes, budget, model servers, who watches      jobs, one by one ->
    workers, each with its own event loop, clients and sandboxes       <- outcomes, what was spent, what was seen

The answers in flight, the workspaces and the tasks at work are divided among the workers. Tasks are not: a worker gets
the next one when it has room.
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace

import anyio
from anyio import to_thread

from agent.errors import BudgetSpent
from agent.model.served import Served
from harness.batch_record import TaskOutcome
from harness.budget import Budget
from harness.channel import Channel
from harness.errors import WorkerLost
from harness.job import Job, Terms
from harness.messages import Begin, Remark, Solve, Solved, Spent, Stop, Told, ToWorker, Used
from harness.outcome import error_record
from harness.progress import Watcher
from harness.relay import Heard
from harness.result import ErrorRecord
from harness.run import unwrapped
from harness.shared import Around
from harness.solve import PARTIAL_SECONDS
from sandbox.base import Backend

FEW_CORES = 8
CORES_EACH = 4
"""One event loop, and what its sandboxes and the model's server need beside it."""
_END_SECONDS = PARTIAL_SECONDS + 20.0
"""How long a worker may take to write down what it has and to put its sandboxes away."""


def how_many(asked: int | None, *, tasks: int, slots: int, workers: int) -> int:
    """Processes for a batch. None asked: one on a small machine, else one for every four cores.

    Never more than there are `tasks`, `slots` (tasks whose answers are in flight at once) or tasks at work (`workers`).
    """
    cores = len(os.sched_getaffinity(0))
    wanted = asked or (1 if cores < FEW_CORES else cores // CORES_EACH)
    return max(1, min(wanted, tasks, slots, workers))


def part(whole: int, parts: int, number: int) -> int:
    """Of something that is divided as evenly as it can be, at least 1."""
    return max(1, whole // parts + (number < whole % parts))


@dataclass
class _Handed:
    job: Job
    heard: Heard
    ended: anyio.Event = field(default_factory=anyio.Event)
    outcome: TaskOutcome | None = None


@dataclass
class _Worker:
    number: int
    room: int
    process: subprocess.Popen[bytes]
    channel: Channel
    doing: dict[str, _Handed] = field(default_factory=dict[str, _Handed])
    used: bool = False
    """It has been given a job at some time."""
    gone: bool = False


@dataclass
class Processes:
    """Implements `harness.job.Solver` by workers."""

    count: int
    terms: Terms
    served: Served
    backend: Backend | None
    around: Around | None
    workers: int
    """Tasks at work at once, in all of them."""
    patience: float
    budget: Budget
    wall_seconds: float | None
    say: Callable[[str], None]
    stop: Callable[[ErrorRecord], None]

    def __post_init__(self) -> None:
        self._begins = [self._begin(number) for number in range(self.count)]
        self._living: list[_Worker] = []
        self._changed = anyio.Event()
        """Somebody has room now, or is there no more."""
        self._restarted: set[int] = set()
        self._said_by: dict[str, int] = {}
        self._spent: Spent | None = None
        self._ending = False
        self._beside = anyio.create_task_group()

    @property
    def room(self) -> int:
        """See `harness.job.Solver`."""
        return sum(begin.workers + begin.builds for begin in self._begins)

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[Processes]:
        """Workers for the block. At its end, or when it is cancelled, what they have in hand is cancelled as well."""
        with unwrapped():
            async with self._beside:
                try:
                    self._check_budget()  # it may be spent already
                    for number in range(self.count):
                        await self._start(number)
                    yield self
                finally:
                    with anyio.CancelScope(shield=True):
                        await self._ended()

    async def solved(self, job: Job, watcher: Watcher) -> TaskOutcome | None:
        """See `harness.job.Solver`. None: a budget has ended it before it had anything, or the run is stopped."""
        worker = await self._roomy()
        worker.used = True
        handed = worker.doing[job.id] = _Handed(job, Heard(watcher))
        await _sent(worker, Solve(job))
        await handed.ended.wait()
        self._check_budget()
        return handed.outcome

    async def _roomy(self) -> _Worker:
        """The worker that has the least to do, once one has room."""
        while True:
            free = [worker for worker in self._living if not worker.gone and len(worker.doing) < worker.room]
            if free:
                return min(free, key=lambda worker: len(worker.doing))
            await self._changed.wait()

    def _begin(self, number: int) -> Begin:
        count, sandbox = self.count, self.terms.settings.sandbox
        one, servers = self.served.profile, len(self.served.urls)
        profile = replace(one, parallel=part(one.parallel, count, number))
        return Begin(
            self.terms,
            replace(self.served, profile=profile, first=number % servers),
            self.backend,
            self.around,
            workspaces=part(sandbox.parallel, count, number),
            builds=part(sandbox.builds, count, number),
            workers=part(self.workers, count, number),
            patience=self.patience,
            wall_seconds=self.wall_seconds,
            began=self.budget.began,
            debug=logging.getLogger().isEnabledFor(logging.DEBUG),
        )

    async def _start(self, number: int) -> None:
        begin = self._begins[number]
        ours, theirs = socket.socketpair()
        with theirs:
            # In this thread, with which the kernel would end the worker: a thread of a pool ends when it is idle.
            process = _spawned(theirs.fileno())
        worker = _Worker(number, begin.workers + begin.builds, process, Channel(ours))
        self._living.append(worker)
        self._beside.start_soon(self._heard, worker)
        self._change()
        await _sent(worker, begin, *([self._spent] if self._spent else []))

    async def _heard(self, worker: _Worker) -> None:
        """Takes what a worker says until it ends; also while the batch is being cancelled, so that it can end."""
        with anyio.CancelScope(shield=True):
            while messages := await worker.channel.receive():
                for message in messages:
                    self._take(worker, message)
            worker.gone = True
            worker.channel.close()
            await to_thread.run_sync(worker.process.wait)
        self._living.remove(worker)
        if not self._ending:
            await self._lost(worker, worker.process.returncode)
        self._change()

    def _take(self, worker: _Worker, message: object) -> None:
        match message:
            case Told(job, event):
                worker.doing[job].heard.tell(event)
            case Used(usage):
                self.budget.add(usage)
                self._check_budget()
            case Solved(job, outcome):
                handed = worker.doing.pop(job)
                handed.outcome = outcome
                handed.ended.set()
                self._change()
            case Remark(text):
                # What all of them meet is said once.
                if self._said_by.get(text, worker.number) == worker.number:
                    self._said_by[text] = worker.number
                    self.say(text)
            case Stop(error):
                if not self._ending:
                    self.stop(error)
            case _:
                raise TypeError(f"no message for the parent: {type(message).__name__}")

    def _check_budget(self) -> None:
        """Have no further calls be made once the run's budget is spent."""
        try:
            self.budget.check()
        except BudgetSpent as spent:
            if self._spent is None:
                self._spent = Spent(str(self.budget.spent), str(spent))
                for worker in self._living:
                    self._beside.start_soon(_sent, worker, self._spent)

    async def _lost(self, worker: _Worker, code: int) -> None:
        """A worker has died: what it had fails, and another one takes its place, once."""
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        error = WorkerLost(
            f"worker process {worker.process.pid} has ended {how} while it was at work; memory may be short: "
            "see `dmesg`, and try fewer --processes or a smaller sandbox.parallel"
        )
        self.say(str(error))
        for handed in worker.doing.values():
            handed.heard.lost()
            handed.outcome = self.terms.failed(handed.job, error_record(error))
            handed.ended.set()
        worker.doing.clear()
        if worker.number not in self._restarted:
            self._restarted.add(worker.number)
            await self._start(worker.number)
        elif not self._living:
            self.stop(error_record(error))

    def _change(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    async def _ended(self) -> None:
        """Ends the workers, and waits for them."""
        self._ending = True
        for worker in self._living:
            worker.channel.end()
            if not worker.used:
                worker.process.kill()  # it has nothing to put away, and may still be starting
        with anyio.move_on_after(_END_SECONDS):
            while self._living:
                await self._changed.wait()
        for worker in self._living:
            worker.process.kill()


async def _sent(worker: _Worker, *messages: ToWorker) -> None:
    with suppress(OSError):  # it has died, which whoever listens to it finds as well
        await worker.channel.send(messages)


def _spawned(descriptor: int) -> subprocess.Popen[bytes]:
    """A worker's process, in a session of its own: keys of the terminal are for us, who cancel it in order."""
    main = f"main({descriptor}, {os.getpid()})"
    program = f"import sys; sys.path[:] = {sys.path!r}; from harness.worker import main; {main}"
    return subprocess.Popen(
        [sys.executable, "-P", "-c", program],
        pass_fds=(descriptor,),
        stdin=subprocess.DEVNULL,
        stdout=2,  # what a library prints is no part of what the command gives
        start_new_session=True,
    )
