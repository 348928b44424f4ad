"""Answers from the journal what finished before, and journals what finishes now: a model and a sandbox as before.

A stage does not know that it is replayed. It asks the same questions in the same words (prompts, seeds and orders are
deterministic), so what it asked before is found by the question's digest.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TypeVar, cast

import anyio

from agent.model.base import Completion, Model, Profile, Request
from harness.journal import Journal
from sandbox.base import UNEDITED, Changes, Ended, Execution, Limit, Limits, Patch, Sandbox, Tree, Workspace, digest_of
from sandbox.errors import PatchRejected, WorkspaceError

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
        """As `agent.model.base.Model`. Many answers come in as many portions as the server can write at once, each
        kept as it comes; answer `j` is drawn with seed + j in any case."""
        answers = self._journal.completions(request.key, n)
        while len(answers) < n:
            seed = request.sampling.seed + len(answers)
            portion = replace(request, sampling=replace(request.sampling, seed=seed)) if answers else request
            got = await self._model.complete(portion, min(n - len(answers), self.profile.parallel))
            self._journal.add_completions(request, got, first=len(answers))
            await self._journal.synced()
            answers = (*answers, *got)
        return answers


class JournaledSandbox:
    """A sandbox whose outcomes are journaled. A workspace is only made when something in it is new."""

    def __init__(self, sandbox: Sandbox, journal: Journal) -> None:
        self.inner = sandbox
        self.journal = journal
        self.seen: Counter[str] = Counter()
        self.under_way: dict[str, anyio.Event] = {}
        """Operations that somebody is doing, with what says that they have ended."""
        self.coming: dict[str, anyio.Event] = {}
        """Operations for which somebody is getting a workspace."""
        self._locks: dict[str, anyio.Lock] = {}

    @property
    def digest(self) -> str:
        return self.inner.digest

    @property
    def base_image(self) -> str:
        return self.inner.base_image

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
                await self.journal.synced()
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
                await self.journal.synced()
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

    An operation's key is the digest of the image, the patch, and all operations up to it. What the journal knows,
    or another workspace is just finding out, is not done here, until something new builds on its effects.
    """

    def __init__(
        self, sandbox: JournaledSandbox, patch: Patch, stack: AsyncExitStack, repository: str, real: Workspace | None
    ) -> None:
        self._sandbox = sandbox
        self._patch = patch
        self._stack = stack
        self._key = digest_of("workspace", sandbox.digest, patch)
        self._behind: list[Operation] = []
        """Known operations that the real workspace has not seen."""
        self._repository = repository
        self._real = real
        self._refused = ""
        """Why there can be no real one: the patch was rejected."""
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
                "reached": sorted(execution.reached),
            }

        around = repr((cwd, sorted((env or {}).items()), limits))
        outcome = await self._done("run", (around, *argv), act)
        values = cast("dict[str, object]", outcome)
        return Execution(
            Ended(str(values["ended"])),
            cast("int | None", values["exit_code"]),
            str(values["output"]),
            cast(int, values["output_bytes"]),
            cast(float, values["seconds"]),
            frozenset(Limit(name) for name in cast("list[str]", values.get("reached", []))),
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
        self._key = digest_of(self._key, kind, *arguments)
        key = self._key
        number = self._number(kind)
        # What follows the second run is another question than what follows the first.
        self._key = digest_of(key, str(number))
        outcome = await self._outcome(key, number, kind, act)
        failure = cast("Mapping[str, str]", outcome)
        if "rejected" in failure:
            raise PatchRejected(failure["rejected"])
        if "failed" in failure:
            raise WorkspaceError(failure["failed"])
        return outcome

    async def _outcome(self, key: str, number: int, kind: str, act: Operation) -> object:
        """What an operation leads to: as it is journaled, as another workspace is just finding out, or by doing it."""
        journal, under_way, name = self._sandbox.journal, self._sandbox.under_way, f"{key} {number}"
        while (known := journal.outcome(key, number)) is None:
            if name in under_way:
                await under_way[name].wait()
            elif self._real is None and not self._refused:
                # Workspaces may be few. Whoever has one must never wait for somebody who is still to get one, so an
                # operation counts as under way only then; without one, waiting holds up nobody.
                if name in self._sandbox.coming:
                    await self._sandbox.coming[name].wait()
                else:
                    await self._enter(name)
            else:
                ended = under_way[name] = anyio.Event()
                try:
                    outcome = await self._do(act)
                    seconds = cast("Mapping[str, float]", outcome).get("seconds", 0.0)
                    journal.add_outcome(key, number, kind, outcome, seconds=seconds)
                    await journal.synced()
                finally:
                    del under_way[name]
                    ended.set()
                return outcome
        self._behind.append(act)
        return known

    async def _enter(self, name: str) -> None:
        """Get a workspace for that operation."""
        entered = self._sandbox.coming[name] = anyio.Event()
        try:
            self._real = await self._stack.enter_async_context(self._sandbox.inner.workspace(self._patch))
        except PatchRejected as error:
            self._refused = str(error)
        finally:
            del self._sandbox.coming[name]
            entered.set()

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
        if self._real is None:
            return {"rejected": self._refused}
        try:
            for before in self._behind:
                await _again(self._real, before)
            self._behind.clear()
            return await act(self._real)
        except PatchRejected as error:
            return {"rejected": str(error)}
        except WorkspaceError as error:
            return {"failed": str(error)}


async def _again(workspace: Workspace, act: Operation) -> None:
    try:
        await act(workspace)
    except WorkspaceError:
        return  # it failed before as well, and its failure was told then


def _bytes_key(content: bytes | None) -> bytes:
    return b"deleted" if content is None else b"is " + content
