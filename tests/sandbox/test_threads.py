"""Blocking work that heeds cancellation."""

from __future__ import annotations

import threading
import time

import anyio
import pytest
from anyio import CapacityLimiter

from sandbox.errors import SandboxLost
from sandbox.threads import call, work


async def test_results_and_errors_come_as_they_are() -> None:
    limiter = CapacityLimiter(2)
    assert await work(lambda _: 7, limiter) == 7
    assert await call(lambda: 8, limiter) == 8

    def fail(_: threading.Event) -> int:
        raise SandboxLost("x")

    with pytest.raises(SandboxLost, match="x"):
        await work(fail, limiter)


async def test_cancelled_work_is_told_and_waited_for() -> None:
    ended: list[float] = []

    def wait(cancelled: threading.Event) -> None:
        assert cancelled.wait(30)
        time.sleep(0.2)
        ended.append(time.monotonic())
        raise SandboxLost("cut short")

    with anyio.move_on_after(0.2) as scope:
        await work(wait, CapacityLimiter(1))
    assert scope.cancelled_caught
    assert ended
    assert ended[0] <= time.monotonic()


async def test_the_limit_holds() -> None:
    limiter, running, most = CapacityLimiter(2), [0], [0]

    def one(_: threading.Event) -> None:
        running[0] += 1
        most[0] = max(most[0], running[0])
        time.sleep(0.05)
        running[0] -= 1

    async with anyio.create_task_group() as group:
        for _ in range(6):
            group.start_soon(work, one, limiter)
    assert most[0] == 2
