"""The Docker backend: from an environment to a sandbox of its image.

Sandboxes are made of cells (`cell_sandbox`) where the engine and the kernel allow them, else of containers
(`docker_sandbox`).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace

from anyio import CancelScope, CapacityLimiter, Lock

from sandbox import profile
from sandbox.base import Environment, Limits, Snapshot, digest_of
from sandbox.builder import Builder
from sandbox.cell_sandbox import Cells, CellSandbox
from sandbox.client import Refused, connect
from sandbox.descriptors import allow_many
from sandbox.docker_engine import Engine, reap
from sandbox.docker_place import start_place
from sandbox.docker_sandbox import DockerSandbox
from sandbox.errors import EngineUnavailable, EnvironmentUnavailable, SandboxLost
from sandbox.image import Image, prepare_image
from sandbox.place import Place
from sandbox.settings import DockerSettings
from sandbox.threads import call, work

__all__ = ["DockerBackend", "DockerSettings"]


class DockerBackend:
    """Makes sandboxes with a Docker engine. Implements `sandbox.base.Backend`."""

    def __init__(self, settings: DockerSettings | None = None, say: Callable[[str], None] = lambda _: None) -> None:
        self.settings = settings or DockerSettings()
        self._say = say
        self._engine: Engine | None = None
        self._locks: dict[str, Lock] = {}
        self._connecting = Lock()
        self._building = CapacityLimiter(self.settings.builds)
        self._sandboxes: list[DockerSandbox | CellSandbox] = []

    async def open(
        self, environment: Environment, snapshot: Snapshot | None, *, run_id: str
    ) -> DockerSandbox | CellSandbox:
        """See Backend.open. An image that was built before is used again; the first build takes minutes."""
        engine = await self._connect()
        self._sandboxes = [sandbox for sandbox in self._sandboxes if not sandbox.closed]
        key = digest_of(repr(environment), snapshot.digest if snapshot else "")
        async with self._locks.setdefault(key, Lock()):
            image = await work(
                lambda cancelled: prepare_image(
                    Builder(engine.client, self.settings, self._say, cancelled), environment, snapshot
                ),
                self._building,
            )
        if self.settings.isolation != "containers":
            cells = self._cells(engine, image, run_id)
            self._sandboxes.append(cells)
            try:
                await cells.probe()
                return cells
            except SandboxLost as lost:
                image = replace(image, used=image.used.pop_all())  # it is held on, past the end of these cells
                await cells.close()
                if self.settings.isolation == "cells":
                    raise EnvironmentUnavailable(f"no cells can be made in {image.name}: {lost}") from lost
                self._say(f"note: each workspace gets a container of its own, which is slower ({lost})")
        sandbox = DockerSandbox(engine, image, run_id)
        self._sandboxes.append(sandbox)
        await sandbox.probe()
        return sandbox

    def _cells(self, engine: Engine, image: Image, run_id: str) -> CellSandbox:
        settings = self.settings
        own = uuid.uuid4().hex
        labels = profile.labels(run_id, own)
        cells = Cells(
            digest=image.id,
            base_image=image.made_of,
            repository=image.repository,
            env=image.env,
            limits=settings.limits,
            parallel=settings.parallel,
            disk_bytes=min(settings.workspace_bytes, settings.limits.memory_bytes // 2),
            files=settings.workspace_files,
        )

        def start(limits: Limits, python: str) -> Place:
            try:
                return start_place(engine, image, f"bestpatch-{uuid.uuid4().hex[:20]}", labels, limits, python)
            except Refused as refused:
                if refused.status == 404:
                    raise EnvironmentUnavailable(
                        f"the image {image.name} was removed while the run used it; the same command builds it again"
                    ) from refused
                raise SandboxLost(str(refused)) from refused

        async def ended() -> None:
            try:
                await engine.call(lambda: engine.remove_all(f"{profile.SANDBOX}={own}"))
            finally:
                image.used.close()

        return CellSandbox(cells, start, engine.executions, engine.calls, engine.check_disk, ended)

    async def _connect(self) -> Engine:
        async with self._connecting:
            if self._engine is None:
                settings = self.settings

                def reach() -> Engine:
                    allow_many()
                    client = connect(settings.url, settings.engine_seconds, settings.parallel * 2 + 16)
                    engine = Engine(client, settings, client.info())
                    reap(client)
                    return engine

                self._engine = await call(reach, CapacityLimiter(1))
            return self._engine

    async def check(self) -> None:
        """See Backend.check."""
        engine = await self._connect()

        def ask() -> None:
            try:
                engine.client.info()
            except SandboxLost as lost:
                raise EngineUnavailable(f"the container engine does not answer any more: {lost}") from lost
            engine.check_disk()

        await engine.call(ask)

    async def close(self) -> None:
        """See Backend.close. Goes on under cancellation; the engine's deadlines bound it."""
        with CancelScope(shield=True):
            for sandbox in self._sandboxes:
                await sandbox.close()
            if self._engine is not None:
                engine, self._engine = self._engine, None
                await engine.call(engine.client.close)
