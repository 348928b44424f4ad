"""A workspace of the Docker backend: one container, whose main process is started anew for each command.

The tree stays from command to command, processes never do. Files go in and out while nothing runs.
"""

from __future__ import annotations

import io
import posixpath
import shlex
import tarfile
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sandbox import profile
from sandbox.base import Limits, Patch
from sandbox.client import MAX_READ_BYTES, Refused, archive_of, is_folder
from sandbox.docker_engine import Engine
from sandbox.dockerfile import HELPERS
from sandbox.errors import SandboxLost, WorkspaceError
from sandbox.execute import Raw, execute, start_script
from sandbox.git_sandbox import TOOL_LIMITS, GitWorkspace, answer_of
from sandbox.image import Image
from sandbox.threads import work

RUN_FOLDER = f"{HELPERS}/run"
T = TypeVar("T")


@dataclass(frozen=True)
class Interior:
    """What is known of an image's inside once one container of it ran."""

    python: str = "/usr/bin/python3"
    uid: int = 0
    gid: int = 0


class DockerWorkspace(GitWorkspace):
    """A container with the tree. Implements `sandbox.base.Workspace`."""

    def __init__(self, engine: Engine, image: Image, interior: Interior, container: str, limits: Limits) -> None:
        super().__init__(image.repository, interior.python, engine.settings.limits)
        self.closed = False
        self._engine = engine
        self._interior = interior
        self._container = container
        self._limits = limits
        self._before: list[str] = []
        """Shell lines that the next command's shell runs first: a patch that is known to apply."""
        self._early: dict[str, bytes] = {}
        """Files for the next command's shell, written together with its start."""

    async def execute(
        self, argv: Sequence[str], *, cwd: str, env: Mapping[str, str] | None = None, limits: Limits
    ) -> Raw:
        """`run`, with the output as bytes."""
        self._check_open()
        engine, container = self._engine, self._container
        token = uuid.uuid4().hex
        before = [f"{line} || {{ echo {token}; exit 125; }}" for line in self._before]
        files = {"start": start_script(argv, cwd=cwd, env=env or {}, limits=limits, before=before), **self._early}
        update = profile.update_body(limits, engine.cpus)
        changed = update != profile.update_body(self._limits, engine.cpus)

        def work_in_thread(cancelled: threading.Event) -> Raw:
            engine.client.put(container, RUN_FOLDER, archive_of(files))
            if changed:
                engine.client.update(container, update)
            return execute(engine.client, container, limits, cancelled=cancelled, watch=engine.check_disk)

        with LostIfRefused():
            raw = await work(work_in_thread, engine.executions)
        self._limits, self._before, self._early = limits, [], {}
        if before and raw.exit_code == 125 and token in raw.output.text():
            raise SandboxLost("a patch that applied before does not apply any more")
        return raw

    async def apply(self, patch: Patch, *, known: bool) -> None:
        """Apply a patch; one that is known to apply waits for the next command, which saves a start."""
        data = patch.encode("utf-8")
        if known:
            self._early = {"patch": data}
            self._before = [_apply_line(self.repository)]
            return
        await self.put_run_file("patch", data)
        answer_of(await self.tool("apply", self.repository, f"{RUN_FOLDER}/patch", limits=TOOL_LIMITS))

    async def put_run_file(self, name: str, data: bytes) -> None:
        with LostIfRefused():
            await self._engine.call(
                lambda: self._engine.client.put(self._container, RUN_FOLDER, archive_of({name: data}))
            )

    async def write(self, path: str, data: bytes) -> None:
        """See Workspace.write."""
        await self._settle()
        full = self._absolute(path)
        client, container = self._engine.client, self._container
        owner = (self._interior.uid, self._interior.gid)

        def write() -> None:
            # Unpacking would put the file in a folder's place, with all that is in it.
            there = client.stat(container, full)
            if there is not None and is_folder(there):
                raise WorkspaceError(f"cannot write {path!r}: it is a folder")
            missing: list[str] = []
            folder = posixpath.dirname(full)
            while folder != "/" and client.stat(container, folder) is None:
                missing.insert(0, posixpath.basename(folder))
                folder = posixpath.dirname(folder)
            client.put(container, folder, _archive_with_folders(missing, posixpath.basename(full), data, owner))

        await self._file_call(f"cannot write {path!r}", write)

    async def read(self, path: str) -> bytes:
        """See Workspace.read."""
        await self._settle()
        full = self._absolute(path)
        client, container = self._engine.client, self._container

        def read() -> bytes:
            info, data = client.get(container, full)
            if info.get("linkTarget"):
                info, data = client.get(container, str(info["linkTarget"]))
            if int(info["size"]) > MAX_READ_BYTES:
                raise WorkspaceError(f"{path!r} has {info['size']} bytes; at most {MAX_READ_BYTES} are read")
            with tarfile.open(fileobj=io.BytesIO(data)) as tar:
                member = tar.next()
                file = tar.extractfile(member) if member is not None and member.isreg() else None
                if file is None:
                    raise WorkspaceError(f"{path!r} is not a regular file")
                return file.read()

        return await self._file_call(f"cannot read {path!r}", read)

    async def _settle(self) -> None:
        """Do what waits for a command, when files are asked for first."""
        self._check_open()
        if self._before:
            await self.execute(["true"], cwd="/", limits=self._limits)

    async def _file_call(self, doing: str, function: Callable[[], T]) -> T:
        try:
            return await self._engine.call(function)
        except Refused as refused:
            raise WorkspaceError(f"{doing}: {refused}") from refused
        except tarfile.TarError as error:
            raise WorkspaceError(f"{doing}: {error}") from error

    def _check_open(self) -> None:
        if self.closed:
            raise SandboxLost("the workspace is closed")


class LostIfRefused:
    """The engine refuses a request about a container that it took before: the container is no good any more."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Refused):
            raise SandboxLost(str(error)) from error


def _apply_line(repository: str) -> str:
    """Shell text that applies the patch with the store's configuration, not the repository's or the user's."""
    env = f"GIT_DIR={HELPERS}/base.git GIT_WORK_TREE=. GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null"
    quiet = "-c core.attributesFile=/dev/null -c core.hooksPath=/dev/null -c core.fsmonitor=false"
    git = f"GIT_ATTR_NOSYSTEM=1 HOME={HELPERS} git {quiet} apply --whitespace=nowarn {RUN_FOLDER}/patch"
    return f"(cd {shlex.quote(repository)} && env {env} {git})"


def _archive_with_folders(folders: Sequence[str], name: str, data: bytes, owner: tuple[int, int]) -> bytes:
    """One file below new folders, all of them the sandbox user's."""
    buffer, now = io.BytesIO(), int(time.time())
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for depth in range(len(folders)):
            member = tarfile.TarInfo("/".join(folders[: depth + 1]))
            member.type, member.mode, member.mtime = tarfile.DIRTYPE, 0o755, now
            member.uid, member.gid = owner
            tar.addfile(member)
        member = tarfile.TarInfo("/".join([*folders, name]))
        member.size, member.mode, member.mtime = len(data), 0o644, now
        member.uid, member.gid = owner
        tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()
