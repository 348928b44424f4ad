"""The bubblewrap backend: sandboxes without a container engine, and without root.

An environment becomes an unpacked image (`unpacked`); a place is one `bwrap` around it (`walls`, `bubblewrap_place`),
and its cells are those of every backend (`cell_sandbox`).
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from anyio import CancelScope, CapacityLimiter, Lock

from sandbox.base import Environment, Limits, Snapshot, digest_of
from sandbox.bubblewrap_place import start_place
from sandbox.cell_sandbox import Cells, CellSandbox
from sandbox.cgroup import Cgroup, make_cgroup
from sandbox.client import free_bytes
from sandbox.descriptors import allow_many
from sandbox.errors import DiskFull, EngineUnavailable, EnvironmentUnavailable, SandboxLost
from sandbox.kept import Kept
from sandbox.place import Place
from sandbox.settings import BubblewrapSettings
from sandbox.threads import call, work
from sandbox.unpacked import Unpacked, Unpacker
from sandbox.walls import why_not

__all__ = ["BubblewrapBackend", "BubblewrapSettings"]

_ROOTS_CACHE = Path("/var/cache/bestpatch")
UNHELD = (
    "note: no control group can be made here, so memory is limited for each process of an execution, not for all "
    "together; CPUs are not limited; running out of memory reads as a failure of the program"
)


class BubblewrapBackend:
    """Makes sandboxes with bwrap. Implements `sandbox.base.Backend`."""

    def __init__(self, settings: BubblewrapSettings | None = None, say: Callable[[str], None] = lambda _: None) -> None:
        self.settings = settings or BubblewrapSettings()
        self.images = images_folder(self.settings.cache)
        self.saved = self.settings.images or self.settings.cache / "saved"
        self._say = say
        self._ready = False
        self._group: Cgroup | None = None
        """One that could be made here; places have others beside it."""
        self._locks: dict[str, Lock] = {}
        self._preparing = Lock()
        self._building = CapacityLimiter(self.settings.builds)
        # Two limits: clean-up must get a thread while every thread for executions waits.
        self._executions = CapacityLimiter(self.settings.parallel)
        self._calls = CapacityLimiter(self.settings.parallel + 8)
        self._starter = ThreadPoolExecutor(1, "bestpatch-places")
        self._sandboxes: list[CellSandbox] = []
        self._kept: list[Kept] = []
        """The images in use."""

    async def open(self, environment: Environment, snapshot: Snapshot | None, *, run_id: str) -> CellSandbox:
        """See Backend.open. An image that was made before is used again; the first takes minutes."""
        async with self._preparing:
            if not self._ready:
                await call(self._prepare, self._calls)
                self._ready = True
        self._check_disk()
        self._sandboxes = [sandbox for sandbox in self._sandboxes if not sandbox.closed]
        key = digest_of(repr(environment), snapshot.digest if snapshot else "")
        async with self._locks.setdefault(key, Lock()):
            image = await work(lambda cancelled: self._image(environment, snapshot, cancelled), self._building)
        sandbox = self._cells(image, run_id)
        self._sandboxes.append(sandbox)
        try:
            await sandbox.probe()
        except SandboxLost as lost:
            raise EnvironmentUnavailable(f"no cells can be made in {image.root}: {lost}") from lost
        return sandbox

    def _image(self, environment: Environment, snapshot: Snapshot | None, cancelled: threading.Event) -> Unpacked:
        unpacker = Unpacker(self.images, self.saved, self.settings, self._say, cancelled)
        self._kept.append(unpacker.kept)
        return unpacker.prepare(environment, snapshot)

    def _prepare(self) -> None:
        why = why_not()
        if why is not None:
            raise EngineUnavailable(why)
        allow_many()
        self.images.mkdir(parents=True, exist_ok=True)
        self._group = make_cgroup()
        if self._group is None:
            self._say(UNHELD)
        else:
            self._group.remove()

    def _cells(self, image: Unpacked, run_id: str) -> CellSandbox:
        settings = self.settings
        cells = Cells(
            digest=image.id,
            base_image="",
            repository=image.repository,
            env={**image.env, "PATH": image.path},
            limits=settings.limits,
            parallel=settings.parallel,
            disk_bytes=min(settings.workspace_bytes, settings.limits.memory_bytes // 2),
            files=settings.workspace_files,
            writable=image.writable,
        )

        def start(limits: Limits, python: str) -> Place:
            return start_place(image, run_id, limits, settings.open_files, self._starter, self._group, python)

        return CellSandbox(cells, start, self._executions, self._calls, self._check_disk)

    def _check_disk(self) -> None:
        free, least = free_bytes(str(self.images)), self.settings.free_disk_bytes
        if free is not None and free < least:
            raise DiskFull(
                f"{free / 1e9:.1f} GB free in {self.images}; the floor is {least / 1e9:.1f} GB. Free some "
                "(bestpatch prune) or lower sandbox.free_disk_bytes."
            )

    async def check(self) -> None:
        """See Backend.check."""
        await call(self._check_disk, self._calls)

    async def close(self) -> None:
        """See Backend.close. Goes on under cancellation; deadlines bound it."""
        with CancelScope(shield=True):
            for sandbox in self._sandboxes:
                await sandbox.close()
            # Last: the kernel ends what its thread has started when that thread ends.
            self._starter.shutdown()
            for kept in self._kept:
                kept.release()


def images_folder(cache: Path) -> Path:
    """Where unpacked images are kept: root's go where the user to whom they belong can get."""
    if os.geteuid() == 0:
        folder = cache.absolute()
        there = [path for path in (folder, *folder.parents) if path.exists()]
        if not all(path.stat().st_mode & stat.S_IXOTH for path in there):
            cache = _ROOTS_CACHE
    return cache / "images"
