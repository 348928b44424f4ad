"""Sandboxes whose workspaces are cells: warm places, and in each at most one workspace at a time.

A place that served a workspace serves the next one, because nothing of a workspace is left in it: its processes,
namespaces, files and memory die with its keeper (`inside/cells.py`). An idle place holds its next workspace already:
making one takes longer than all else around a command, and starting a place longer still. A workspace that no execution
has changed (`inside/changes.py`) is as if just made, and serves the next execution on the same tree. Backends differ in
how a place is started.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog
from anyio import CancelScope, CapacityLimiter, Event, move_on_after

from sandbox import profile
from sandbox.base import UNEDITED, Changes, Limits, Patch
from sandbox.errors import SandboxError, SandboxLost, WorkspaceError
from sandbox.execute import Raw
from sandbox.git_sandbox import TOOL_LIMITS, GitSandbox, GitWorkspace, answer_of
from sandbox.patch import check_patch
from sandbox.place import FileChange, Place, Room
from sandbox.threads import call, work

_PATIENCE_SECONDS = 5.0
"""At most so long a workspace is waited for before another place is started, should all be held by somebody."""
_LOOK_SECONDS = 0.5
"""How often it is looked whether an execution more is allowed: nobody tells."""
MAX_READ_BYTES = 16 * 1024**2
_PATCH = "/tmp/bestpatch-patch"  # noqa: S108 - inside the sandbox, where nobody else is

T = TypeVar("T")
_log: Any = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Cells:
    """What a sandbox of cells is made of."""

    digest: str
    base_image: str
    repository: str
    env: Mapping[str, str]
    """The image's own environment variables, PATH among them."""
    limits: Limits
    """Of executions that name none."""
    parallel: int
    """Places that are kept warm."""
    disk_bytes: int
    """What may be written into one workspace; it is memory, so half of an execution's memory at most."""
    files: int
    """Files that may be made in one workspace."""
    writable: tuple[str, ...] | None = None
    """See Room.writable."""


class CellSandbox(GitSandbox):
    """Implements `sandbox.base.Sandbox`. `start` blocks and raises SandboxError; `check` says whether to go on."""

    def __init__(
        self,
        cells: Cells,
        start: Callable[[Limits, str], Place],
        executions: CapacityLimiter,
        calls: CapacityLimiter,
        check: Callable[[], None] = lambda: None,
        ended: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        super().__init__()
        self.cells = cells
        self.executions = executions
        self._start = start
        self._calls = calls
        self._check = check
        self._ended = ended
        self._room = Room(cells.repository, profile.HOME, cells.disk_bytes, cells.files, cells.writable)
        self._idle: list[Place] = []
        self._busy: set[Place] = set()
        self._files: dict[Patch, Sequence[FileChange]] = {UNEDITED: ()}
        self._given_back = Event()
        self._python = ""
        self._closed = False

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def digest(self) -> str:
        return self.cells.digest

    @property
    def base_image(self) -> str:
        return self.cells.base_image

    @property
    def python(self) -> str:
        return self._python

    async def probe(self) -> None:
        """Start the first place and run a command in a cell. Raises SandboxError where that cannot be done."""
        async with self._cell() as workspace:
            raw = await workspace.execute([self._python, "-c", ""], cwd="/", limits=self.cells.limits)
            if raw.exit_code != 0:
                raise SandboxLost(f"a first command ended with {raw.exit_code}: {raw.output.text()[-500:]}")

    def workspace(self, patch: Patch = UNEDITED) -> AbstractAsyncContextManager[CellWorkspace]:
        """See Sandbox.workspace."""
        return self._workspace(patch)

    @asynccontextmanager
    async def _workspace(self, patch: Patch) -> AsyncGenerator[CellWorkspace]:
        check_patch(patch)
        if not patch.strip():
            patch = UNEDITED
        known = self._files.get(patch)
        async with self._cell(UNEDITED if known is None else patch) as workspace:
            if known is None:
                self._files[patch] = await workspace.changes_of(patch)
                workspace.change(patch)
            yield workspace

    @asynccontextmanager
    async def _cell(self, patch: Patch = UNEDITED) -> AsyncGenerator[CellWorkspace]:
        if self._closed:
            raise SandboxLost("the sandbox is closed")
        self._check()
        place = await self._take(patch)
        workspace = CellWorkspace(self, place)
        try:
            workspace.change(patch)
            yield workspace
        except SandboxLost:
            # What ended this place (a restart of the engine) may have ended those that wait as well; the next try must
            # not meet one after the other of them.
            with CancelScope(shield=True):
                await self._end_idle()
            raise
        finally:
            workspace.closed = True
            with CancelScope(shield=True), suppress(SandboxError):
                await self._give_back(place)

    async def _take(self, patch: Patch) -> Place:
        """A place, if there is one whose workspace has the patch, or else no patch."""
        if not self._idle and self._busy:
            await self._wait()
        if self._idle:
            suited = [place for tree in (patch, UNEDITED) for place in self._idle if place.patch == tree]
            place = (suited or self._idle)[0]  # the one that has been idle longest
            self._idle.remove(place)
            self._busy.add(place)
            return place
        place = await call(lambda: self._start(self.cells.limits, self._python), self._calls)
        self._busy.add(place)
        self._python = place.python
        place.open(self._room)
        return place

    async def _wait(self) -> None:
        """Until a place is given back or all executions that the machine allows are no longer under way.

        Until then another place could not be used, and starting one takes as long as an execution or two.
        """
        with move_on_after(_PATIENCE_SECONDS):
            while not self._idle and self.executions.available_tokens < 1:
                if self._given_back.is_set():
                    self._given_back = Event()
                with move_on_after(_LOOK_SECONDS):
                    await self._given_back.wait()

    async def _give_back(self, place: Place) -> None:
        self._busy.discard(place)
        if not place.broken and not self._closed and len(self._idle) < self.cells.parallel:
            with suppress(SandboxLost):
                place.renew()
                self._idle.append(place)
                self._given_back.set()
                return
        await self._end(place)

    async def _end_idle(self) -> None:
        idle, self._idle = self._idle, []
        for place in idle:
            await self._end(place)

    async def _end(self, place: Place) -> None:
        try:
            await call(place.end, self._calls)
        except SandboxError as error:
            # It has the run's label: closing the sandbox, or the next run, ends it.
            _log.warning("a place could not be ended yet", error=str(error))

    def apply(self, place: Place, patch: Patch) -> None:
        """Have a patch that was seen before in the place's unused workspace."""
        place.apply(patch, self._files[patch], self._room)

    def _tools(self, limits: Limits) -> AbstractAsyncContextManager[CellWorkspace]:
        return self._cell()

    def _remember(self, patch: Patch, changes: Changes) -> None:
        # Deletions first: a file may take a folder's place.
        ordered = sorted(changes.items(), key=lambda change: (change[1] is not None, change[0]))
        self._files[patch] = [FileChange(path, None, data) for path, data in ordered]

    async def close(self) -> None:
        """See Sandbox.close."""
        if self._closed:
            return
        self._closed = True
        with CancelScope(shield=True):
            await self._end_idle()
            for place in list(self._busy):
                await self._end(place)
            if self._ended is not None:
                await self._ended()


class CellWorkspace(GitWorkspace):
    """One workspace in a place. Implements `sandbox.base.Workspace`."""

    def __init__(self, sandbox: CellSandbox, place: Place) -> None:
        super().__init__(sandbox.cells.repository, sandbox.python, sandbox.cells.limits)
        self.closed = False
        self._sandbox = sandbox
        self._place = place

    async def execute(
        self, argv: Sequence[str], *, cwd: str, env: Mapping[str, str] | None = None, limits: Limits
    ) -> Raw:
        """`run`, with the output as bytes."""
        for text in (*argv, cwd, *(env or {}), *(env or {}).values()):
            if "\0" in text:
                raise ValueError("a command, folder or environment variable must not contain a NUL character")
        place = self._open()
        whole = {**profile.environment(self._sandbox.cells.env, self._sandbox.python), **(env or {})}

        def run(cancelled: threading.Event) -> Raw:
            return place.run(argv, cwd, whole, limits, cancelled)

        return await work(run, self._sandbox.executions)

    async def changes_of(self, patch: Patch) -> Sequence[FileChange]:
        """The files that a patch changes, as git applies it. Raises PatchRejected."""
        await self.write(_PATCH, patch.encode("utf-8"))
        answer = answer_of(await self.tool("files", self.repository, _PATCH, limits=TOOL_LIMITS))
        return [
            FileChange(path, int(mode, 8), None if data is None else base64.b64decode(data))
            for path, mode, data in json.loads(answer)
        ]

    def change(self, patch: Patch) -> None:
        """Make the patch's changes, unless the tree has them; that it went well shows at the next command."""
        self._sandbox.apply(self._open(), patch)

    async def write(self, path: str, data: bytes) -> None:
        """See Workspace.write."""
        place, full = self._open(), self._absolute(path)
        await self._files(f"cannot write {path!r}", lambda: place.write(full, data))

    async def read(self, path: str) -> bytes:
        """See Workspace.read."""
        place, full = self._open(), self._absolute(path)
        return await self._files(f"cannot read {path!r}", lambda: place.read(full, MAX_READ_BYTES))

    async def _files(self, doing: str, function: Callable[[], T]) -> T:
        try:
            return await call(function, self._sandbox.executions)
        except WorkspaceError as error:
            raise WorkspaceError(f"{doing}: {error}") from error

    def _open(self) -> Place:
        if self.closed or self._place.broken:
            raise SandboxLost("the workspace is closed")
        return self._place
