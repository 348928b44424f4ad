"""A server's slots, handed out first come, first served: a request for many is not overtaken by small ones."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio


class Slots:
    """`count` slots; each request holds as many as it asks for sequences."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: deque[tuple[int, anyio.Event]] = deque()

    @asynccontextmanager
    async def held(self, count: int) -> AsyncGenerator[None]:
        """Hold `count` slots for the block; waits while others hold too many."""
        turn = anyio.Event()
        ticket = (count, turn)
        self._waiting.append(ticket)
        self._admit()
        try:
            await turn.wait()
        except BaseException:
            if turn.is_set():
                self._free += count
            else:
                self._waiting.remove(ticket)
            self._admit()
            raise
        try:
            yield
        finally:
            self._free += count
            self._admit()

    def _admit(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._free:
            count, turn = self._waiting.popleft()
            self._free -= count
            turn.set()
