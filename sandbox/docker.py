"""The Docker backend: sandboxes from images, workspaces from containers.

A workspace is a container whose main process is started anew for each command (see `execute`): the tree stays
from command to command, processes never do. Files go in and out while nothing runs.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import structlog
from anyio import CancelScope, CapacityLimiter, Lock

from sandbox import profile
from sandbox.base import UNEDITED, Changes, Environment, Limits, Patch, RepoPath, Snapshot, Tree, digest_of
from sandbox.builder import Builder
from sandbox.client import Refused, connect
from sandbox.docker_engine import Engine, reap
from sandbox.docker_workspace import RUN_FOLDER, TOOL_LIMITS, DockerWorkspace, Interior, answer_of
from sandbox.errors import EnvironmentUnavailable, PatchRejected, SandboxError, SandboxLost
from sandbox.image import Image, prepare_image
from sandbox.patch import MAX_FILE_BYTES, MAX_PATCH_FILES, check_clashes, check_patch, check_path
from sandbox.settings import DockerSettings
from sandbox.threads import call, work

__all__ = ["DockerBackend", "DockerSandbox", "DockerSettings", "DockerWorkspace"]

MAX_TREE_FILE_BYTES = 1024**2
_TREE_LIMITS = Limits(seconds=300.0, output_bytes=1024**3)
# SWE-bench's images keep the project's interpreter in a conda environment of this name, which is not on PATH.
_PROBE = (
    'for p in /opt/miniconda3/envs/testbed/bin/python "$(command -v python3)" "$(command -v python)"; do '
    '[ -x "$p" ] && "$p" -c "import sys; sys.exit(sys.version_info < (3, 6))" && echo "$p" && id -u && id -g && '
    "exit 0; done; exit 1"
)

_log: Any = structlog.get_logger(__name__)


class DockerBackend:
    """Makes sandboxes with a Docker engine. Implements `sandbox.base.Backend`."""

    def __init__(self, settings: DockerSettings | None = None, say: Callable[[str], None] = lambda _: None) -> None:
        self.settings = settings or DockerSettings()
        self._say = say
        self._engine: Engine | None = None
        self._locks: dict[str, Lock] = {}
        self._connecting = Lock()
        self._building = CapacityLimiter(2)
        self._sandboxes: list[DockerSandbox] = []

    async def open(self, environment: Environment, snapshot: Snapshot | None, *, run_id: str) -> DockerSandbox:
        """See Backend.open. An image that was built before is used again; the first build takes minutes."""
        engine = await self._connect()
        engine.check_disk()
        key = digest_of(repr(environment), snapshot.digest if snapshot else "")
        async with self._locks.setdefault(key, Lock()):
            image = await work(
                lambda cancelled: prepare_image(
                    Builder(engine.client, self.settings, self._say, cancelled), environment, snapshot
                ),
                self._building,
            )
        sandbox = DockerSandbox(engine, image, run_id)
        self._sandboxes.append(sandbox)
        await sandbox.probe()
        return sandbox

    async def _connect(self) -> Engine:
        async with self._connecting:
            if self._engine is None:
                settings = self.settings

                def reach() -> Engine:
                    client = connect(settings.url, settings.engine_seconds, settings.parallel * 2 + 16)
                    engine = Engine(client, settings, client.info())
                    reap(client)
                    return engine

                self._engine = await call(reach, CapacityLimiter(1))
            return self._engine

    async def close(self) -> None:
        """See Backend.close. Goes on under cancellation; the engine's deadlines bound it."""
        with CancelScope(shield=True):
            for sandbox in self._sandboxes:
                await sandbox.close()
            if self._engine is not None:
                engine, self._engine = self._engine, None
                await engine.call(engine.client.close)


class DockerSandbox:
    """An image with the repository, ready to make workspaces of. Implements `sandbox.base.Sandbox`."""

    def __init__(self, engine: Engine, image: Image, run_id: str) -> None:
        self.engine = engine
        self.image = image
        self.interior = Interior()
        self._id = uuid.uuid4().hex
        self._labels = profile.labels(run_id, self._id)
        self._applies: set[Patch] = set()
        self._tree: dict[RepoPath, bytes] | None = None
        self._closed = False

    @property
    def digest(self) -> str:
        return self.image.id

    @property
    def python(self) -> str:
        return self.interior.python

    async def probe(self) -> None:
        """Find the interpreter, and see that containers start at all. Raises EnvironmentUnavailable."""
        try:
            async with self._container(self.engine.settings.limits) as workspace:
                raw = await workspace.execute(["/bin/sh", "-c", _PROBE], cwd="/", limits=self.engine.settings.limits)
        except Refused as refused:
            hint = f" Does the engine know the runtime {self.engine.settings.runtime!r}?"
            raise EnvironmentUnavailable(
                f"no container can be made of {self.image.name}: {refused}."
                + (hint if self.engine.settings.runtime else "")
            ) from refused
        if raw.exit_code != 0:
            raise EnvironmentUnavailable(
                f"{self.image.name} holds no Python 3.6 or later; test scripts need one. Add python3 to the image.",
                raw.output.text(),
            )
        python, uid, gid = raw.output.text().strip().splitlines()[-3:]
        self.interior = Interior(python, int(uid), int(gid))

    def workspace(self, patch: Patch = UNEDITED) -> AbstractAsyncContextManager[DockerWorkspace]:
        """See Sandbox.workspace."""
        return self._workspace(patch)

    @asynccontextmanager
    async def _workspace(self, patch: Patch) -> AsyncGenerator[DockerWorkspace, None]:
        check_patch(patch)
        async with self._container(self.engine.settings.limits) as workspace:
            if patch.strip():
                await workspace.apply(patch, known=patch in self._applies)
                self._applies.add(patch)
            yield workspace

    @asynccontextmanager
    async def _container(self, limits: Limits) -> AsyncGenerator[DockerWorkspace, None]:
        engine = self.engine
        if self._closed:
            raise SandboxLost("the sandbox is closed")
        engine.check_disk()
        name = f"bestpatch-{uuid.uuid4().hex[:20]}"
        env = profile.environment(self.image.path, self.interior.python)
        host = profile.host_config(limits, engine.settings, engine.cpus)
        workspace = DockerWorkspace(engine, self.image, self.interior, name, limits)
        try:
            try:
                await engine.call(
                    lambda: engine.client.create(
                        self.image.name,
                        name,
                        host=host,
                        entrypoint=["/bin/sh", f"{RUN_FOLDER}/start"],
                        command=[],
                        user=self.image.user,
                        environment=env,
                        labels=self._labels,
                        hostname="sandbox",
                        working_dir="/",
                        network_disabled=True,
                    )
                )
            except Refused as refused:
                if refused.status != 404:
                    raise
                raise EnvironmentUnavailable(
                    f"the image {self.image.name} was removed while the run used it; the same command builds it again"
                ) from refused
            yield workspace
        finally:
            with CancelScope(shield=True):
                workspace.closed = True
                try:
                    await engine.call(lambda: engine.client.remove(name))
                except SandboxError as error:
                    # It has the run's labels: closing the sandbox, or the next run, removes it.
                    _log.warning("a container could not be removed yet", container=name, error=str(error))

    async def tree(self) -> Tree:
        """See Sandbox.tree. Read once, then kept."""
        if self._tree is None:
            async with self._container(_TREE_LIMITS) as workspace:
                raw = await workspace.tool("tree", str(MAX_TREE_FILE_BYTES), limits=_TREE_LIMITS)
            data, rest = raw.output.ends()
            data += rest
            end = data.find(b"\n")
            if raw.exit_code != 0 or end < 0 or raw.output.left_out:
                raise SandboxLost(f"the tree could not be read: {raw.output.text()[-500:]}")
            tree: dict[RepoPath, bytes] = {}
            at = end + 1
            for path, size in json.loads(data[:end]):
                tree[RepoPath(path)] = data[at : at + size]
                at += size
            self._tree = tree
        return self._tree

    async def make_patch(self, changes: Changes) -> Patch:
        """See Sandbox.make_patch."""
        for path, content in changes.items():
            check_path(path)
            if content is not None and len(content) > MAX_FILE_BYTES:
                raise PatchRejected(f"{path!r} would have {len(content)} bytes; at most {MAX_FILE_BYTES} are taken")
        if len(changes) > MAX_PATCH_FILES:
            raise PatchRejected(f"{len(changes)} files are changed; at most {MAX_PATCH_FILES} are taken")
        check_clashes(changes)
        if not changes:
            return UNEDITED
        asked = {path: None if data is None else base64.b64encode(data).decode() for path, data in changes.items()}
        async with self._container(TOOL_LIMITS) as workspace:
            await workspace.put_run_file("request", json.dumps(asked).encode())
            raw = await workspace.tool("make", self.image.repository, f"{RUN_FOLDER}/request", limits=TOOL_LIMITS)
        patch = Patch(answer_of(raw))
        check_patch(patch)
        self._applies.add(patch)
        return patch

    async def close(self) -> None:
        """See Sandbox.close."""
        if self._closed:
            return
        self._closed = True
        with CancelScope(shield=True):
            try:
                await self.engine.call(lambda: self.engine.remove_all(f"{profile.SANDBOX}={self._id}"))
            except SandboxError as error:
                _log.warning("the sandbox's containers could not be removed yet", error=str(error))
