"""Runs actions at once, with errors as they are rather than in groups."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import anyio

Item = TypeVar("Item")
Answer = TypeVar("Answer")


async def each(items: Sequence[Item], action: Callable[[Item], Awaitable[Answer]], *, at_once: int) -> list[Answer]:
    """The answers in the order of the items. The first error ends the others and is raised as it is."""
    limiter = anyio.CapacityLimiter(max(1, at_once))
    answers: dict[int, Answer] = {}
    errors: list[Exception] = []

    async def one(number: int, item: Item) -> None:
        async with limiter:
            try:
                answers[number] = await action(item)
            except Exception as error:
                errors.append(error)
                group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        for number, item in enumerate(items):
            group.start_soon(one, number, item)
    if errors:
        raise errors[0]
    return [answers[number] for number in range(len(items))]


@asynccontextmanager
async def beside(*actions: Callable[[], Coroutine[object, object, None]]) -> AsyncGenerator[None]:
    """Runs actions, which must not raise, beside the block; they are cancelled at its end."""
    raised: Exception | None = None
    async with anyio.create_task_group() as group:
        for action in actions:
            group.start_soon(action)
        try:
            yield
        except Exception as error:
            raised = error
        group.cancel_scope.cancel()
    if raised is not None:
        raise raised
