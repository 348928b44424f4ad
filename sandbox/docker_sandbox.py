"""The Docker backend where cells cannot be had: a container for each workspace.

Its main process is started anew for each command (see `execute`): the tree stays from command to command, processes
never do. Files go in and out while nothing runs. Slower than cells by the start of a container for each command.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import structlog
from anyio import CancelScope

from sandbox import profile
from sandbox.base import UNEDITED, Changes, Limits, Patch
from sandbox.client import Refused
from sandbox.docker_engine import Engine
from sandbox.docker_workspace import RUN_FOLDER, DockerWorkspace, Interior
from sandbox.errors import EnvironmentUnavailable, SandboxError, SandboxLost
from sandbox.git_sandbox import GitSandbox
from sandbox.image import Image
from sandbox.patch import check_patch

# SWE-bench's images keep the project's interpreter in a conda environment of this name, which is not on PATH.
_PROBE = (
    'for p in /opt/miniconda3/envs/testbed/bin/python "$(command -v python3)" "$(command -v python)"; do '
    '[ -x "$p" ] && "$p" -c "import sys; sys.exit(sys.version_info < (3, 6))" && echo "$p" && id -u && id -g && '
    "exit 0; done; exit 1"
)

_log: Any = structlog.get_logger(__name__)


class DockerSandbox(GitSandbox):
    """An image with the repository, ready to make workspaces of. Implements `sandbox.base.Sandbox`."""

    def __init__(self, engine: Engine, image: Image, run_id: str) -> None:
        super().__init__()
        self.engine = engine
        self.image = image
        self.interior = Interior()
        self._id = uuid.uuid4().hex
        self._labels = profile.labels(run_id, self._id)
        self._applies: set[Patch] = set()
        self._closed = False

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def digest(self) -> str:
        return self.image.id

    @property
    def base_image(self) -> str:
        return self.image.made_of

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
        env = profile.environment(self.image.env, self.interior.python)
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

    def _tools(self, limits: Limits) -> AbstractAsyncContextManager[DockerWorkspace]:
        return self._container(limits)

    def _remember(self, patch: Patch, changes: Changes) -> None:
        self._applies.add(patch)

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
        self.image.used.close()
