"""What all tasks of a batch share, and how they wait for it while it is away.

A dead model server, an engine that restarts or a full disk is no failure of the tasks that meet it: were it taken for
one, trajectories would be lost, and with them the selection that an uninterrupted run makes. So whoever meets a failure
asks the shared thing itself. If that answers, the failure is the caller's own; if not, all wait until it does. When
that takes too long, the run is stopped as a whole; its tasks go on where they are when the same command is given again.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeVar

import anyio

from agent.errors import ModelDenied, ModelError, ModelTimeout, ModelUnavailable
from agent.model.base import Completion, ModelServer, Profile, Request
from sandbox.base import UNEDITED, Backend, Changes, Environment, Patch, Sandbox, Snapshot, Tree, Workspace
from sandbox.errors import DiskFull, EngineUnavailable, SandboxError, SandboxLost, SandboxTimeout

T = TypeVar("T")

MODEL_FAILURES = (ModelUnavailable, ModelTimeout, ModelDenied)
SANDBOX_FAILURES = (EngineUnavailable, SandboxLost, SandboxTimeout, DiskFull)
PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds between questions to what does not answer; the last one repeats."""


class Gate:
    """Stands before one shared thing: open while it answers."""

    def __init__(
        self,
        name: str,
        check: Callable[[], Awaitable[None]],
        *,
        patience: float,
        say: Callable[[str], None],
        give_up: Callable[[Exception], None],
    ) -> None:
        """`patience`: seconds for which an outage is waited out. `give_up` is then called, and cancels the callers."""
        self._name = name
        self._check = check
        self._patience = patience
        self._say = say
        self._give_up = give_up
        self._closed = anyio.Lock()
        """Held while somebody asks the shared thing whether it is there; the others stand before it."""
        self._outages = 0
        self._given_up = False

    async def through(self, action: Callable[[], Awaitable[T]], failures: tuple[type[Exception], ...]) -> T:
        """What the action gives. Raises what it raises, unless that is the shared thing's failure."""
        tried = False
        while True:
            async with self._closed:
                before = self._outages
            try:
                return await action()
            except failures as error:
                if await self._outlasted(error, before):
                    continue
                # It may have come back between the failure and the question, so once more; not after a deadline's wait.
                if tried or isinstance(error, TimeoutError):
                    raise
                tried = True

    async def _outlasted(self, error: Exception, before: int) -> bool:
        """Whether the shared thing was away and is back; False where it was there all the time."""
        async with self._closed:
            if self._given_up:
                # All callers are being cancelled. This one is not yet, for its answer came in that very moment.
                await anyio.sleep_forever()
            if self._outages > before:
                return True
            failure = error if isinstance(error, ModelDenied) else await self._asked()
            if failure is None:
                return False
            self._say(f"{self._name}: {failure}; waiting for up to {self._patience:.0f} s")
            began, number = time.monotonic(), 0
            while failure is not None:
                if isinstance(failure, ModelDenied) or time.monotonic() - began >= self._patience:
                    self._given_up = True
                    self._give_up(failure)
                    await anyio.sleep_forever()
                await anyio.sleep(min(PAUSES[min(number, len(PAUSES) - 1)], self._patience))
                failure, number = await self._asked(), number + 1
            self._outages += 1
            self._say(f"{self._name}: there again after {time.monotonic() - began:.0f} s")
            return True

    async def _asked(self) -> Exception | None:
        try:
            await self._check()
        except (ModelError, SandboxError) as failure:
            return failure
        return None


class GatedModel:
    """The model server that all tasks share."""

    def __init__(self, model: ModelServer, gate: Gate) -> None:
        self._model = model
        self._gate = gate

    @property
    def profile(self) -> Profile:
        return self._model.profile

    async def complete(self, request: Request, n: int = 1) -> tuple[Completion, ...]:
        return await self._gate.through(lambda: self._model.complete(request, n), MODEL_FAILURES)


class GatedBackend:
    """The backend that all tasks share, with one limit on the workspaces of all of them together."""

    def __init__(self, backend: Backend, gate: Gate, workspaces: int) -> None:
        self._backend = backend
        self._gate = gate
        self._workspaces = anyio.Semaphore(workspaces)

    async def open(self, environment: Environment, snapshot: Snapshot | None, *, run_id: str) -> Sandbox:
        sandbox = await self._gate.through(
            lambda: self._backend.open(environment, snapshot, run_id=run_id), SANDBOX_FAILURES
        )
        return GatedSandbox(sandbox, self._gate, self._workspaces)

    async def check(self) -> None:
        await self._backend.check()

    async def close(self) -> None:
        """It is the batch's, which closes it."""


class GatedSandbox:
    """One task's sandbox of a shared backend."""

    def __init__(self, sandbox: Sandbox, gate: Gate, workspaces: anyio.Semaphore) -> None:
        self._sandbox = sandbox
        self._gate = gate
        self._workspaces = workspaces

    @property
    def digest(self) -> str:
        return self._sandbox.digest

    @property
    def base_image(self) -> str:
        return self._sandbox.base_image

    @property
    def python(self) -> str:
        return self._sandbox.python

    @asynccontextmanager
    async def workspace(self, patch: Patch = UNEDITED) -> AsyncGenerator[Workspace]:
        """What fails inside is not tried again here: the workspace and all that was done in it are gone."""
        async with self._workspaces, AsyncExitStack() as stack:
            yield await self._gate.through(
                lambda: stack.enter_async_context(self._sandbox.workspace(patch)), SANDBOX_FAILURES
            )

    async def tree(self) -> Tree:
        async with self._workspaces:
            return await self._gate.through(self._sandbox.tree, SANDBOX_FAILURES)

    async def make_patch(self, changes: Changes) -> Patch:
        async with self._workspaces:
            return await self._gate.through(lambda: self._sandbox.make_patch(changes), SANDBOX_FAILURES)

    async def close(self) -> None:
        await self._sandbox.close()
