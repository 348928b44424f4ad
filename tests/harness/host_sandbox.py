"""A sandbox for tests of the harness: workspaces are folders on this host, run only with code of these tests."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.lowlevel

from sandbox.base import UNEDITED, Changes, Ended, Environment, Execution, Limits, Patch, RepoPath, Snapshot, Tree
from sandbox.errors import PatchRejected, WorkspaceError

_ENV = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", "HOME": "/nonexistent"}


class HostBackend:
    """Counts what was opened, run and closed. `error` is raised instead of opening; `down` where it is checked."""

    def __init__(self, error: Exception | None = None, delay: float = 0.0) -> None:
        self.error = error
        self.delay = delay
        self.opened = self.ended = self.closed = 0
        self.down: Exception | None = None
        self.ran: list[str] = []
        self.patches = 0

    async def open(self, environment: Environment, snapshot: Snapshot | None, *, run_id: str) -> HostSandbox:
        await anyio.sleep(self.delay)
        self.opened += 1
        if self.error is not None:
            raise self.error
        assert snapshot is not None
        return HostSandbox(self, snapshot)

    async def check(self) -> None:
        if self.down is not None:
            raise self.down

    async def close(self) -> None:
        self.closed += 1


class HostSandbox:
    digest = "sha256:host"
    base_image = "host"
    python = sys.executable

    def __init__(self, backend: HostBackend, snapshot: Snapshot) -> None:
        self.backend = backend
        self._tar = snapshot.tar

    @asynccontextmanager
    async def workspace(self, patch: Patch = UNEDITED) -> AsyncGenerator[HostWorkspace]:
        await anyio.lowlevel.checkpoint()  # as a real one, it lets others go on meanwhile
        with tempfile.TemporaryDirectory() as folder:
            self._prepare(Path(folder, "repo"), patch)
            yield HostWorkspace(self, Path(folder))

    def _prepare(self, root: Path, patch: Patch) -> None:
        root.mkdir()
        with tarfile.open(self._tar) as tar:
            tar.extractall(root, filter="data")
        _git(root, "init", "-q")
        _git(root, "add", "-A")
        _git(root, "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qm", "base")
        if patch:
            done = subprocess.run(["git", "apply", "-"], cwd=root, input=patch.encode(), capture_output=True)
            if done.returncode:
                raise PatchRejected(done.stderr.decode())

    async def tree(self) -> Tree:
        async with self.workspace() as workspace:
            root = workspace.root
            return {
                RepoPath(str(path.relative_to(root))): path.read_bytes()
                for path in sorted(root.rglob("*"))
                if path.is_file() and ".git" not in path.relative_to(root).parts
            }

    async def make_patch(self, changes: Changes) -> Patch:
        self.backend.patches += 1
        async with self.workspace() as workspace:
            for path, content in changes.items():
                if content is None:
                    (workspace.root / path).unlink()
                else:
                    await workspace.write(path, content)
            return await workspace.diff()

    async def close(self) -> None:
        """Folders go with their workspaces."""
        self.backend.ended += 1


class HostWorkspace:
    def __init__(self, sandbox: HostSandbox, folder: Path) -> None:
        self._sandbox = sandbox
        self._folder = folder
        self.root = folder / "repo"

    @property
    def repository(self) -> str:
        return "/testbed"

    def _inside(self, path: str) -> Path:
        if path.startswith("/testbed"):
            return self.root / path.removeprefix("/testbed").lstrip("/")
        return self._folder / path.lstrip("/") if path.startswith("/") else self.root / path

    async def run(
        self,
        argv: Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        limits: Limits | None = None,
    ) -> Execution:
        self._sandbox.backend.ran.append(argv[-1])
        words = [str(self._inside(word)) if word.startswith(("/testbed", "/tmp/bestpatch-")) else word for word in argv]
        began = time.monotonic()
        where = self._inside(cwd) if cwd else self.root
        done = await anyio.run_process(
            words, cwd=where, env={**_ENV, **(env or {})}, check=False, stderr=subprocess.STDOUT
        )
        output = done.stdout.decode("utf-8", "replace")
        return Execution(Ended.EXITED, done.returncode, output, len(done.stdout), time.monotonic() - began)

    async def write(self, path: str, data: bytes) -> None:
        target = self._inside(path)
        if target.is_dir():
            raise WorkspaceError(f"{path} is a folder")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)

    async def read(self, path: str) -> bytes:
        try:
            return self._inside(path).read_bytes()
        except OSError as error:
            raise WorkspaceError(str(error)) from error

    async def diff(self) -> Patch:
        _git(self.root, "add", "-A")
        return Patch(_git(self.root, "diff", "--cached", "--binary", "--no-renames"))


def _git(root: Path, *args: str) -> str:
    return subprocess.run(["git", *args], cwd=root, check=True, capture_output=True).stdout.decode()
