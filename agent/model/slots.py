"""A server's slots, handed out so that tasks that have begun come before later ones.

A task's requests share a prefix, which lives in the server's cache while the task is at work. Were all tasks served in
turn, each prefix would be read again and again once they are too many for the cache. So whoever waits is admitted in
the order in which the tasks were first seen, and within a task first come, first served. A request for many is not
overtaken by small ones that are behind it in that order.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import count

import anyio

_REMEMBERED = 4096
"""Tasks whose place in the order is kept, the latest."""


class Slots:
    """`count` slots; each request holds as many as it asks for sequences."""

    def __init__(self, slots: int) -> None:
        self._free = slots
        self._waiting: list[tuple[int, int, int, anyio.Event]] = []
        """A heap of (place of the task, arrival, slots wanted, whose turn it is)."""
        self._places: OrderedDict[str, int] = OrderedDict()
        self._numbers = count()

    @asynccontextmanager
    async def held(self, slots: int, task: str = "") -> AsyncGenerator[None]:
        """Hold so many slots for the block; waits while others hold too many. `task`: what its requests share."""
        turn = anyio.Event()
        ticket = (self._place(task), next(self._numbers), slots, turn)
        heapq.heappush(self._waiting, ticket)
        self._admit()
        try:
            await turn.wait()
        except BaseException:
            if turn.is_set():
                self._free += slots
            else:
                self._waiting.remove(ticket)
                heapq.heapify(self._waiting)
            self._admit()
            raise
        try:
            yield
        finally:
            self._free += slots
            self._admit()

    def _place(self, task: str) -> int:
        if task not in self._places:
            self._places[task] = next(self._numbers)
            if len(self._places) > _REMEMBERED:
                self._places.popitem(last=False)
        return self._places[task]

    def _admit(self) -> None:
        while self._waiting and self._waiting[0][2] <= self._free:
            _, _, slots, turn = heapq.heappop(self._waiting)
            self._free -= slots
            turn.set()
