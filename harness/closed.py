"""What stands in for a sandbox that is gone, so that a run can still write down what it knows."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from sandbox.base import UNEDITED, Changes, Patch, Sandbox, Tree, Workspace
from sandbox.errors import SandboxError


class ClosedSandbox:
    """A sandbox that is gone: it still says which it was, and executes nothing. What is journaled stays readable."""

    def __init__(self, was: Sandbox, tree: Tree, why: str) -> None:
        self.digest = was.digest
        self.base_image = was.base_image
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
