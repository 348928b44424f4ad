"""What every backend does alike: the tree and patches, by git inside the sandbox."""

from __future__ import annotations

import base64
import json
import posixpath
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from sandbox import inside
from sandbox.base import UNEDITED, Changes, Ended, Execution, Limits, Patch, RepoPath, Tree
from sandbox.errors import PatchRejected, PatchTooLarge, SandboxLost, SandboxTimeout, WorkspaceError
from sandbox.execute import Raw
from sandbox.patch import MAX_FILE_BYTES, MAX_PATCH_BYTES, MAX_PATCH_FILES, check_clashes, check_patch, check_path

MAX_TREE_FILE_BYTES = 1024**2
TREE_LIMITS = Limits(seconds=300.0, output_bytes=1024**3)
TOOL_LIMITS = Limits(seconds=120.0, output_bytes=4 * MAX_PATCH_BYTES)
"""For our own git program."""
_REQUEST = "/tmp/bestpatch-request"  # noqa: S108 - inside the sandbox, where nobody else is


class GitWorkspace(ABC):
    """Base of workspaces: `run` and `diff` of `sandbox.base.Workspace`, by what a backend knows to execute."""

    def __init__(self, repository: str, python: str, limits: Limits) -> None:
        self.repository = repository
        self._python = python
        self._default = limits
        """Of commands that name none."""

    @abstractmethod
    async def execute(
        self, argv: Sequence[str], *, cwd: str, env: Mapping[str, str] | None = None, limits: Limits
    ) -> Raw:
        """`run`, with the output as bytes."""

    @abstractmethod
    async def write(self, path: str, data: bytes) -> None:
        """See Workspace.write."""

    async def run(
        self,
        argv: Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        limits: Limits | None = None,
    ) -> Execution:
        """See Workspace.run."""
        folder = posixpath.join(self.repository, cwd or ".")
        raw = await self.execute(argv, cwd=folder, env=env, limits=limits or self._default)
        return raw.execution()

    async def tool(self, *arguments: str, limits: Limits) -> Raw:
        """Run our git program, on an interpreter that heeds nothing the tree or the user could have set."""
        argv = [self._python, "-I", "-S", *inside.arguments(*inside.GIT_TOOL), *arguments]
        return await self.execute(argv, cwd="/", limits=limits)

    async def diff(self) -> Patch:
        """See Workspace.diff."""
        raw = await self.tool("diff", self.repository, str(MAX_PATCH_BYTES), limits=TOOL_LIMITS)
        return Patch(answer_of(raw))

    def _absolute(self, path: str) -> str:
        if not path or "\0" in path or path.endswith("/"):
            raise WorkspaceError(f"not the path of a file: {path!r}")
        return posixpath.normpath(posixpath.join(self.repository, path))


class GitSandbox(ABC):
    """Base of sandboxes: `tree` and `make_patch` of `sandbox.base.Sandbox`."""

    def __init__(self) -> None:
        self._tree: dict[RepoPath, bytes] | None = None

    @abstractmethod
    def _tools(self, limits: Limits) -> AbstractAsyncContextManager[GitWorkspace]:
        """A pristine workspace for our git program."""

    @abstractmethod
    def _remember(self, patch: Patch, changes: Changes) -> None:
        """The patch was proven to apply, and to make these changes."""

    async def tree(self) -> Tree:
        """See Sandbox.tree. Read once, then kept."""
        if self._tree is None:
            async with self._tools(TREE_LIMITS) as workspace:
                raw = await workspace.tool("tree", str(MAX_TREE_FILE_BYTES), limits=TREE_LIMITS)
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
                raise PatchTooLarge(f"{path!r} would have {len(content)} bytes; at most {MAX_FILE_BYTES} are taken")
        if len(changes) > MAX_PATCH_FILES:
            raise PatchTooLarge(f"{len(changes)} files are changed; at most {MAX_PATCH_FILES} are taken")
        check_clashes(changes)
        if not changes:
            return UNEDITED
        asked = {path: None if data is None else base64.b64encode(data).decode() for path, data in changes.items()}
        async with self._tools(TOOL_LIMITS) as workspace:
            await workspace.write(_REQUEST, json.dumps(asked).encode())
            raw = await workspace.tool("make", workspace.repository, _REQUEST, limits=TOOL_LIMITS)
        patch = Patch(answer_of(raw))
        check_patch(patch)
        if patch != UNEDITED:
            self._remember(patch, changes)
        return patch


def answer_of(raw: Raw) -> Any:
    """What our git program says. Raises PatchRejected where it says no, SandboxLost where it says nothing."""
    text = raw.output.text()
    if raw.ended is Ended.TIMED_OUT:
        raise SandboxTimeout(f"git took more than {raw.seconds:.0f} s in the sandbox")
    try:
        answer = json.loads(text.strip().splitlines()[-1])
        rejected, told = answer.get("rejected"), answer.get("ok")
    except (ValueError, IndexError, AttributeError):
        raise SandboxLost(f"git in the sandbox gave no answer: {text[-500:]}") from None
    if rejected is not None:
        raise PatchRejected(f"git: {str(rejected)[:2000]}")
    return told
