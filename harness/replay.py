"""Answers from the journal what finished before, and journals what finishes now: a model and a sandbox as before.

A stage does not know that it is replayed. It asks the same questions in the same words (prompts, seeds and orders are
deterministic), so what it asked before is found by the question's digest.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeVar, cast

import anyio

from agent.model.base import Completion, Model, Profile, Request
from harness.journal import Journal
from sandbox.base import UNEDITED, Changes, Ended, Execution, Limits, Patch, Sandbox, Tree, Workspace, digest_of
from sandbox.errors import PatchRejected, SandboxError, WorkspaceError

T = TypeVar("T")
Operation = Callable[[Workspace], Awaitable[object]]


class JournaledModel:
    """A model whose answers are journaled; the model behind it hears only new questions."""

    def __init__(self, model: Model, journal: Journal) -> None:
        self._model = model
        self._journal = journal

    @property
    def profile(self) -> Profile:
        return self._model.profile

    async def complete(self, request: Request, n: int = 1) -> tuple[Completion, ...]:
        known = self._journal.completions(request.key, n)
        if known is not None:
            return known
        completions = await self._model.complete(request, n)
        self._journal.add_completions(request, completions)
        return completions


class JournaledSandbox:
    """A sandbox whose outcomes are journaled. A workspace is only made when something in it is new."""

    def __init__(self, sandbox: Sandbox, journal: Journal) -> None:
        self.inner = sandbox
        self.journal = journal
        self.seen: Counter[str] = Counter()
        self._locks: dict[str, anyio.Lock] = {}

    @property
    def digest(self) -> str:
        return self.inner.digest

    @property
    def python(self) -> str:
        return self.inner.python

    @asynccontextmanager
    async def workspace(self, patch: Patch = UNEDITED) -> AsyncGenerator[Workspace]:
        """Raises PatchRejected here or at the first operation, since the workspace may be made only there."""
        async with AsyncExitStack() as stack:
            known = self.journal.outcome(self.digest, 0)
            if known is None:
                workspace = await stack.enter_async_context(self.inner.workspace(patch))
                self.journal.add_outcome(self.digest, 0, "repository", workspace.repository)
                yield _JournaledWorkspace(self, patch, stack, workspace.repository, workspace)
            else:
                yield _JournaledWorkspace(self, patch, stack, str(known), None)

    async def tree(self) -> Tree:
        return await self.inner.tree()

    async def make_patch(self, changes: Changes) -> Patch:
        parts = [part for path in sorted(changes) for part in (path, _bytes_key(changes[path]))]
        key = digest_of("make_patch", self.digest, *parts)
        async with self.once(key):
            known = self.journal.outcome(key, 0)
            if known is None:
                known = await self._make_patch(changes)
                self.journal.add_outcome(key, 0, "patch", known)
        outcome = cast("Mapping[str, str]", known)
        if "rejected" in outcome:
            raise PatchRejected(outcome["rejected"])
        return Patch(outcome["patch"])

    async def _make_patch(self, changes: Changes) -> Mapping[str, str]:
        try:
            return {"patch": await self.inner.make_patch(changes)}
        except PatchRejected as error:
            return {"rejected": str(error)}

    async def close(self) -> None:
        await self.inner.close()

    @asynccontextmanager
    async def once(self, key: str) -> AsyncGenerator[None]:
        """Two who ask the same at once: the second waits and finds the first one's outcome."""
        lock = self._locks.setdefault(key, anyio.Lock())
        async with lock:
            yield


class _JournaledWorkspace:
    """A workspace that is made at its first operation that is not in the journal.

    An operation's key is the digest of the image, the patch, and all operations up to it. When a journaled beginning
    has a new continuation, the beginning is done again, for its effects.
    """

    def __init__(
        self, sandbox: JournaledSandbox, patch: Patch, stack: AsyncExitStack, repository: str, real: Workspace | None
    ) -> None:
        self._sandbox = sandbox
        self._patch = patch
        self._stack = stack
        self._key = digest_of("workspace", sandbox.digest, patch)
        self._journaled: list[Operation] = []
        self._repository = repository
        self._real = real
        self._written = False

    @property
    def repository(self) -> str:
        return self._repository

    async def run(
        self,
        argv: Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        limits: Limits | None = None,
    ) -> Execution:
        async def act(workspace: Workspace) -> object:
            execution = await workspace.run(argv, cwd=cwd, env=env, limits=limits)
            return {
                "ended": execution.ended.value,
                "exit_code": execution.exit_code,
                "output": execution.output,
                "output_bytes": execution.output_bytes,
                "seconds": execution.seconds,
            }

        outcome = await self._done(
            "run", (repr(list(argv)), repr(cwd), repr(sorted((env or {}).items())), repr(limits)), act
        )
        values = cast("dict[str, object]", outcome)
        return Execution(
            Ended(str(values["ended"])),
            cast("int | None", values["exit_code"]),
            str(values["output"]),
            cast(int, values["output_bytes"]),
            cast(float, values["seconds"]),
        )

    async def write(self, path: str, data: bytes) -> None:
        async def act(workspace: Workspace) -> object:
            await workspace.write(path, data)
            return {}

        self._written = True
        await self._done("write", (path, data), act)

    async def read(self, path: str) -> bytes:
        async def act(workspace: Workspace) -> object:
            return {"data": base64.b64encode(await workspace.read(path)).decode("ascii")}

        outcome = cast("Mapping[str, str]", await self._done("read", (path,), act))
        return base64.b64decode(outcome["data"])

    async def diff(self) -> Patch:
        async def act(workspace: Workspace) -> object:
            return {"patch": await workspace.diff()}

        return Patch(cast("Mapping[str, str]", await self._done("diff", (), act))["patch"])

    async def _done(self, kind: str, arguments: tuple[str | bytes, ...], act: Operation) -> object:
        journal = self._sandbox.journal
        self._key = digest_of(self._key, kind, *arguments)
        key = self._key
        number = self._number(kind)
        # What follows the second run is another question than what follows the first.
        self._key = digest_of(key, str(number))
        async with self._sandbox.once(f"{key} {number}"):
            outcome = journal.outcome(key, number)
            if outcome is None:
                outcome = await self._do(act)
                seconds = cast("Mapping[str, float]", outcome).get("seconds", 0.0)
                journal.add_outcome(key, number, kind, outcome, seconds=seconds)
            elif self._real is None:
                self._journaled.append(act)
            else:
                # The workspace exists and the journal knows the outcome (another workspace got there first), but
                # what follows here may build on the effect.
                await self._do(act)
        failure = cast("Mapping[str, str]", outcome)
        if "rejected" in failure:
            raise PatchRejected(failure["rejected"])
        if "failed" in failure:
            raise WorkspaceError(failure["failed"])
        return outcome

    def _number(self, kind: str) -> int:
        """Which repetition this is.

        A command after a write is a test script on a patch: the same for everybody, done once. A command in a
        workspace as it came may be asked for again on purpose (are the repository's own tests flaky?): its second
        time is another outcome than its first.
        """
        if self._written or kind != "run":
            return 0
        number = self._sandbox.seen[self._key]
        self._sandbox.seen[self._key] += 1
        return number

    async def _do(self, act: Operation) -> object:
        try:
            if self._real is None:
                self._real = await self._stack.enter_async_context(self._sandbox.inner.workspace(self._patch))
                for before in self._journaled:
                    await self._again(before)
            return await act(self._real)
        except PatchRejected as error:
            return {"rejected": str(error)}
        except WorkspaceError as error:
            return {"failed": str(error)}

    async def _again(self, act: Operation) -> None:
        assert self._real is not None  # noqa: S101 - set by the only caller
        try:
            await act(self._real)
        except WorkspaceError:
            return  # it failed before as well, and its failure was told then


class ClosedSandbox:
    """A sandbox that is gone: it still says which it was, and executes nothing. What is journaled stays readable."""

    def __init__(self, was: Sandbox, tree: Tree, why: str) -> None:
        self.digest = was.digest
        self.python = was.python
        self._tree = tree
        self._why = why

    @asynccontextmanager
    async def workspace(self, patch: Patch = UNEDITED) -> AsyncGenerator[Workspace]:
        raise SandboxError(self._why)
        yield  # makes a generator of it

    async def tree(self) -> Tree:
        return self._tree

    async def make_patch(self, changes: Changes) -> Patch:
        raise SandboxError(self._why)

    async def close(self) -> None:
        """There is nothing left to close."""


def _bytes_key(content: bytes | None) -> bytes:
    return b"deleted" if content is None else b"is " + content
