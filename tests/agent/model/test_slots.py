"""Slots are first come, first served, and none is lost."""

from __future__ import annotations

import anyio

from agent.model.slots import Slots


async def test_a_large_request_is_not_overtaken() -> None:
    slots = Slots(4)
    order: list[str] = []
    release = anyio.Event()

    async def hold(name: str, count: int) -> None:
        async with slots.held(count):
            order.append(name)
            await release.wait()

    async with anyio.create_task_group() as group:
        for name, count in (("small", 1), ("large", 4), ("late", 1)):
            group.start_soon(hold, name, count)
            await anyio.wait_all_tasks_blocked()
        assert order == ["small"]
        release.set()
    assert order == ["small", "large", "late"]


async def test_a_cancelled_wait_gives_way_and_loses_nothing() -> None:
    slots = Slots(2)
    async with slots.held(1):
        with anyio.move_on_after(0.01):
            async with slots.held(2):
                raise AssertionError("two of one are not there")
        async with slots.held(1):
            pass
    async with slots.held(2):
        pass
