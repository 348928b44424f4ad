"""Whether the engine of a model server works: the part of it that answers `/health` goes on when that stands still."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import anyio
import httpx
from prometheus_client.parser import text_string_to_metric_families

STANDSTILL = 120.0
"""Seconds in which an engine has done nothing, and then again as many for an answer to one question. On a GPU no step
comes near that: it reads some thousand tokens of a prompt at most."""
_ASK_SECONDS = 10.0


@dataclass(frozen=True)
class Pulse:
    """How it is seen."""

    signs: tuple[str, ...]
    """Names at `/metrics`, in Prometheus' format, of what changes with each step that it does."""
    path: str
    question: Mapping[str, object]
    """What is posted to `path` when none has changed for a while: it has nothing to do then, or cannot do it."""
    key: str = ""

    async def lost(self, address: str) -> None:
        """Returns once the engine has done nothing for a while, not even answered the question."""
        key = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        async with httpx.AsyncClient(base_url=address, headers=key, trust_env=False, timeout=_ASK_SECONDS) as client:
            before: tuple[float, ...] = ()
            while True:
                await anyio.sleep(STANDSTILL)
                seen = await self._seen(client)
                if seen and seen == before:
                    answered = await self._answered(client)
                    seen = await self._seen(client)
                    if seen == before and not answered:
                        return
                before = seen

    async def _seen(self, client: httpx.AsyncClient) -> tuple[float, ...]:
        """The signs, as they are now; none where the server does not give them."""
        try:
            text = (await client.get("/metrics")).raise_for_status().text
            return tuple(value for name, value in samples(text) if name in self.signs)
        except (httpx.HTTPError, ValueError):
            return ()

    async def _answered(self, client: httpx.AsyncClient) -> bool:
        """Whether the question was answered in time, be it with a refusal."""
        try:
            await client.post(self.path, json=self.question, timeout=STANDSTILL)
        except httpx.HTTPError:
            return False
        return True


def samples(text: str) -> list[tuple[str, float]]:
    """Names, without their labels, and values of what `/metrics` gives. Raises ValueError where it is none of that."""
    try:
        return [
            (sample.name, sample.value) for family in text_string_to_metric_families(text) for sample in family.samples
        ]
    except LookupError as error:  # of a label that does not end
        raise ValueError(str(error)) from error
