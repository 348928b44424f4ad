"""Begun tasks come first, within one first come, first served, and no slot is lost."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
from hypothesis import given
from hypothesis import strategies as st

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
    entered: list[int] = []
    async with slots.held(1):
        with anyio.move_on_after(0.01) as waited:
            async with slots.held(2):
                entered.append(2)
        assert waited.cancelled_caught
        async with slots.held(1):
            entered.append(1)
    async with slots.held(2):
        entered.append(2)
    assert entered == [1, 2]


async def test_tasks_that_have_begun_come_before_later_ones() -> None:
    slots = Slots(1)
    order: list[str] = []
    release = anyio.Event()

    async def hold(name: str) -> None:
        async with slots.held(1, name[0]):
            order.append(name)
            await release.wait()

    async with anyio.create_task_group() as group:
        for name in ("a1", "b1", "c1", "b2", "a2", "c2", "a3"):
            group.start_soon(hold, name)
            await anyio.wait_all_tasks_blocked()
        release.set()
    assert order == ["a1", "a2", "a3", "b1", "b2", "c1", "c2"]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 4), st.booleans()), max_size=30), st.integers(4, 6))
async def test_no_more_than_there_are_and_all_come_to_an_end(
    requests: Sequence[tuple[str, int, bool]], count: int
) -> None:
    slots = Slots(count)
    held = 0
    most = [0]
    done: list[str] = []

    async def ask(task: str, wanted: int, gives_up: bool) -> None:
        nonlocal held
        with anyio.CancelScope() as scope:
            if gives_up:
                scope.cancel()
            async with slots.held(wanted, task):
                held += wanted
                most.append(held)
                try:
                    await anyio.lowlevel.checkpoint()
                finally:
                    held -= wanted
        done.append(task)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            for task, wanted, gives_up in requests:
                group.start_soon(ask, task, wanted, gives_up)
        async with slots.held(count):  # all are back
            pass
    assert len(done) == len(requests)
    assert max(most) <= count
