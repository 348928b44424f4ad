"""Runs one action over many items at once, with errors as they are rather than in groups."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
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
