"""Sandboxes that execute nothing: one repository in memory, verdicts by a function. For measuring what is around them.

backend = MemoryBackend({"calc.py": "..."}, lambda script, files: 0 if "a + b" in files["calc.py"] else 2)
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import anyio

from sandbox.base import (
    UNEDITED,
    Changes,
    Ended,
    Environment,
    Execution,
    Limits,
    Patch,
    RepoPath,
    Snapshot,
    Tree,
    digest_of,
)
from sandbox.errors import PatchRejected, SandboxLost, WorkspaceError

Judge = Callable[[str, Mapping[str, str]], int]
"""From a test script and the files to the exit code: 0 the issue is fixed, 2 it is present."""


class MemoryBackend:
    """Counts what is done. `down` is raised by all that begins while it is set; `seconds`: what an execution takes."""

    def __init__(self, files: Mapping[str, str], judge: Judge, seconds: float = 0.0) -> None:
        self.files: Tree = {RepoPath(path): text.encode() for path, text in files.items()}
        self.judge = judge
        self.seconds = seconds
        self.down: Exception | None = None
        self.opened = self.ended = self.closed = self.executions = 0
        self.open_now = self.most_open = 0
        """Workspaces."""

    async def open(self, environment: Environment, snapshot: Snapshot | None, *, run_id: str) -> MemorySandbox:
        await self.check()
        self.opened += 1
        return MemorySandbox(self)

    async def check(self) -> None:
        await anyio.lowlevel.checkpoint()
        if self.down is not None:
            raise self.down

    async def close(self) -> None:
        self.closed += 1

    def patched(self, patch: Patch) -> dict[RepoPath, bytes]:
        """The tree with a patch of our own making, whose hunks hold the whole file."""
        files = dict(self.files)
        for part in patch.split("diff --git a/")[1:]:
            path, _, rest = part.partition("\n")
            path, lines = RepoPath(path.split(" b/")[0]), rest.splitlines(keepends=True)
            before = "".join(line[1:] for line in lines[_body(lines) :] if line[0] in " -")
            if before.encode() != files.get(path, b""):
                raise PatchRejected(f"does not apply to {path}")
            files[path] = "".join(line[1:] for line in lines[_body(lines) :] if line[0] in " +").encode()
            if "deleted file mode 100644\n" in lines:
                del files[path]
        return files


class MemorySandbox:
    """Implements `sandbox.base.Sandbox`."""

    base_image = "memory"
    python = "python"

    def __init__(self, backend: MemoryBackend) -> None:
        self.backend = backend
        self.digest = digest_of("memory", *(part for item in sorted(backend.files.items()) for part in item))

    @asynccontextmanager
    async def workspace(self, patch: Patch = UNEDITED) -> AsyncGenerator[MemoryWorkspace]:
        await self.backend.check()
        files = self.backend.patched(patch)
        self.backend.open_now += 1
        self.backend.most_open = max(self.backend.most_open, self.backend.open_now)
        try:
            yield MemoryWorkspace(self.backend, files)
        finally:
            self.backend.open_now -= 1

    async def tree(self) -> Tree:
        return self.backend.files

    async def make_patch(self, changes: Changes) -> Patch:
        await self.backend.check()
        return Patch("".join(_diff(path, self.backend.files.get(path), data) for path, data in sorted(changes.items())))

    async def close(self) -> None:
        self.backend.ended += 1


class MemoryWorkspace:
    """Implements `sandbox.base.Workspace`."""

    repository = "/testbed"

    def __init__(self, backend: MemoryBackend, files: dict[RepoPath, bytes]) -> None:
        self._backend = backend
        self._files = files
        self._script = ""

    async def run(
        self,
        argv: Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        limits: Limits | None = None,
    ) -> Execution:
        await anyio.sleep(self._backend.seconds)
        if self._backend.down is not None:
            raise SandboxLost(str(self._backend.down))
        self._backend.executions += 1
        texts = {path: data.decode() for path, data in self._files.items()}
        return Execution(Ended.EXITED, self._backend.judge(self._script, texts), "", 0, 0.001)

    async def write(self, path: str, data: bytes) -> None:
        if path.startswith("/"):
            self._script = data.decode()
        else:
            self._files[RepoPath(path)] = data

    async def read(self, path: str) -> bytes:
        try:
            return self._files[RepoPath(path)]
        except KeyError:
            raise WorkspaceError(f"no such file: {path}") from None

    async def diff(self) -> Patch:
        before = self._backend.files
        return Patch(
            "".join(
                _diff(path, before.get(path), self._files.get(path))
                for path in sorted({*before, *self._files})
                if before.get(path) != self._files.get(path)
            )
        )


def _diff(path: RepoPath, before: bytes | None, after: bytes | None) -> str:
    """A diff that takes all old lines away and puts all new ones in; for texts that end with a line break."""
    sides = [(data or b"").decode().splitlines(keepends=True) for data in (before, after)]
    names = ["/dev/null" if data is None else f"{side}/{path}" for data, side in ((before, "a"), (after, "b"))]
    mode = "new file mode 100644\n" if before is None else "deleted file mode 100644\n" if after is None else ""
    if before == after:
        return ""
    spans = [f"{1 if side else 0},{len(side)}" for side in sides]
    lines = [*(f"-{line}" for line in sides[0]), *(f"+{line}" for line in sides[1])]
    head = f"diff --git a/{path} b/{path}\n{mode}--- {names[0]}\n+++ {names[1]}\n@@ -{spans[0]} +{spans[1]} @@\n"
    return head + "".join(lines)


def _body(lines: Sequence[str]) -> int:
    """Where the only hunk of a file begins."""
    return next((at + 1 for at, line in enumerate(lines) if line.startswith("@@ ")), len(lines))
