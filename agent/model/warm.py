"""Has a server compute a task's shared prefix once, before the requests that go on from it.

A server that meets eight requests with the same new prefix at once computes it eight times: llama.cpp for each slot,
vLLM for each sequence of the batch. So the first request of a prefix waits for one short answer to the prefix alone.
llama.cpp keeps prompts by slot, hence as many answers there as it has slots (they share the computation). Measured
with the 1.5B on two busy cores and a prefix of 3.4k tokens: eight trajectories resumed on a cold server had read the
prefix of three of them after nine minutes; one reading takes half a minute.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import anyio

from agent.errors import ModelError
from agent.model.base import Completion, Message, ModelServer, Profile, Request, Sampling, Usage

LEAST_CHARS = 2_000
"""A shorter system message is not worth a request of its own."""


@dataclass
class _Prefix:
    lock: anyio.Lock = field(default_factory=anyio.Lock)
    warm: bool = False


class WarmedModel:
    """A model behind whose first request of every long system message stands one that only reads the message."""

    def __init__(self, model: ModelServer, copies: int) -> None:
        """`copies`: answers of the reading request; the number of slots where a server keeps prompts by slot."""
        self._model = model
        self._copies = copies
        self._prefixes: dict[str, _Prefix] = {}

    @property
    def profile(self) -> Profile:
        return self._model.profile

    async def complete(self, request: Request, n: int = 1) -> tuple[Completion, ...]:
        """As `agent.model.base.Model`; what the reading cost is on the first completion that waited for it."""
        cost = await self._warm(request)
        first, *others = await self._model.complete(request, n)
        return (replace(first, usage=first.usage + cost) if cost else first, *others)

    async def check(self) -> None:
        """See `agent.model.base.ModelServer`."""
        await self._model.check()

    async def _warm(self, request: Request) -> Usage | None:
        system = request.messages[0]
        if system.role != "system" or len(system.content) < LEAST_CHARS:
            return None
        prefix = self._prefixes.setdefault(request.prefix, _Prefix())
        async with prefix.lock:
            if prefix.warm:
                return None
            reading = replace(
                request, messages=(system, Message("user", "Ready?")), sampling=Sampling(max_tokens=1), turn=0
            )
            prefix.warm = True  # also where it fails: the request itself then says what is wrong
            try:
                answers = await self._model.complete(reading, self._copies)
            except ModelError:
                return None
        return sum((answer.usage for answer in answers), Usage())
