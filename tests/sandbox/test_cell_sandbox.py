"""Which place a workspace gets, with places that answer as real ones do but execute nothing."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from typing import Any

import anyio
import pytest

from sandbox.base import UNEDITED, Limits, Patch, RepoPath
from sandbox.cell_sandbox import Cells, CellSandbox
from sandbox.place import Place

LIMITS = Limits(seconds=1.0)
CELLS = Cells("digest", "", "/testbed", {"PATH": "/usr/bin"}, LIMITS, 4, 1 << 20, 100)
RUN = {"why": "ended", "code": 0, "seconds": 0.1, "written": 0, "head": 0, "reached": []}
ANSWERS: Mapping[str, dict[str, Any]] = {"run": RUN, "close": {"closed": True}, "renew": {"kept": True}}


def patch_of(name: str) -> Patch:
    path = f"{name}.py"
    return Patch(
        f"diff --git a/{path} b/{path}\nnew file mode 100644\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+x\n"
    )


class AnsweringWire:
    """Answers each question; a workspace is always kept."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers = bytearray()
        self._say({"python": "/usr/bin/python3", "machine": "x86_64", "uid": 7, "gid": 8})

    def _say(self, head: Mapping[str, Any]) -> None:
        text = json.dumps(head).encode()
        self.answers += struct.pack(">II", len(text), 0) + text

    def send(self, data: bytes) -> None:
        while data:
            text, more = struct.unpack(">II", data[:8])
            self.asked.append(json.loads(data[8 : 8 + text])["op"])
            self._say(ANSWERS.get(self.asked[-1], {}))
            data = data[8 + text + more :]

    def receive(self, seconds: float) -> bytes | None:
        data = bytes(self.answers)
        self.answers.clear()
        return data or None

    def limit(self, limits: Limits) -> None: ...

    def rlimits(self, limits: Limits) -> Mapping[str, int]:
        return {}

    def end(self) -> None: ...

    def last_words(self) -> str:
        return ""


class Started:
    """Starts places, and knows them."""

    def __init__(self) -> None:
        self.wires: list[AnsweringWire] = []
        self.pythons: list[str] = []

    def __call__(self, limits: Limits, python: str) -> Place:
        self.wires.append(AnsweringWire())
        self.pythons.append(python)
        return Place(self.wires[-1], limits)


@pytest.fixture
def started() -> Started:
    return Started()


@pytest.fixture
def executions() -> anyio.CapacityLimiter:
    return anyio.CapacityLimiter(1)


@pytest.fixture
def make(started: Started, executions: anyio.CapacityLimiter) -> Callable[[], CellSandbox]:
    return lambda: CellSandbox(CELLS, started, executions, anyio.CapacityLimiter(8))


async def used(sandbox: CellSandbox, patch: Patch = UNEDITED) -> None:
    async with sandbox.workspace(patch) as workspace:
        await workspace.run(["true"])


async def test_a_place_is_waited_for_while_nothing_more_could_be_executed(
    make: Callable[[], CellSandbox], started: Started, executions: anyio.CapacityLimiter
) -> None:
    sandbox, elsewhere = make(), object()
    executions.acquire_on_behalf_of_nowait(elsewhere)
    async with anyio.create_task_group() as group:
        async with sandbox.workspace():
            group.start_soon(used, sandbox)
            await anyio.wait_all_tasks_blocked()
            assert len(started.wires) == 1
        executions.release_on_behalf_of(elsewhere)
    assert len(started.wires) == 1


async def test_another_place_is_started_where_it_can_be_used(make: Callable[[], CellSandbox], started: Started) -> None:
    sandbox = make()
    async with sandbox.workspace():
        await used(sandbox)
    assert started.pythons == ["", "/usr/bin/python3"], "the second one need not look for an interpreter"


async def test_a_workspace_goes_to_who_needs_its_tree(make: Callable[[], CellSandbox], started: Started) -> None:
    sandbox = make()
    patches = [patch_of("one"), patch_of("two")]
    for patch in patches:
        sandbox._remember(patch, {RepoPath("a.py"): patch.encode()})  # as after `make_patch`
    async with sandbox.workspace(patches[0]) as one, sandbox.workspace(patches[1]) as two:
        await one.run(["true"])
        await two.run(["true"])
    before = [list(wire.asked) for wire in started.wires]
    for patch in (patches[1], patches[0], patches[1]):
        await used(sandbox, patch)
    after = [wire.asked[len(known) :] for wire, known in zip(started.wires, before, strict=True)]
    assert after == [["run", "renew"], ["run", "renew", "run", "renew"]]


async def test_the_unedited_tree_stays_unedited(make: Callable[[], CellSandbox], started: Started) -> None:
    """Changes that change nothing are the empty patch, and what they ask for is not done to the unedited tree."""
    sandbox = make()
    sandbox._remember(patch_of("one"), {RepoPath("a.py"): b"x"})
    await used(sandbox, patch_of("one"))
    await used(sandbox)
    assert started.wires[0].asked == ["open", "files", "run", "renew", "close", "open", "run", "renew"]
