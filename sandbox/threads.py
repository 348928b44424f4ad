"""Blocking work in worker threads that still heed cancellation."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter, create_task_group, sleep_forever, to_thread
from anyio.lowlevel import checkpoint_if_cancelled

T = TypeVar("T")


async def call(function: Callable[[], T], limiter: CapacityLimiter) -> T:
    """A short call with a deadline of its own. Not left behind on cancellation: what it makes stays known."""
    return await to_thread.run_sync(function, limiter=limiter)


async def work(function: Callable[[threading.Event], T], limiter: CapacityLimiter) -> T:
    """Long work that looks at the event now and then and ends early once it is set, by whatever error.

    On cancellation the event is set and the thread waited for, so that nothing goes on behind the caller's back.
    """
    cancelled = threading.Event()
    values: list[T] = []
    errors: list[Exception] = []

    def run() -> None:
        # Errors are carried by hand: raised inside the task group they would arrive as an exception group.
        try:
            values.append(function(cancelled))
        except Exception as error:
            errors.append(error)

    async def tell() -> None:
        try:
            await sleep_forever()
        finally:
            cancelled.set()

    async with create_task_group() as group:
        group.start_soon(tell)
        await to_thread.run_sync(run, limiter=limiter)
        await checkpoint_if_cancelled()  # the caller is gone, and the error is only that of being cut short
        group.cancel_scope.cancel()
    if errors:
        raise errors[0]
    return values[0]
