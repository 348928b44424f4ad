"""Several servers that hold the same model, as one: requests go where their prefix is, and a server that fails is left
out until it answers again.

A task's requests share a long system message, which a server computes once and then has in its cache. So they all go to
one server, the task's home; another one joins in while that is full. Reading the prefix there costs a fraction of a
second, waiting for a place may cost many.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Literal

import anyio

from agent.errors import ModelDenied, ModelError, ModelReplyInvalid, ModelTimeout, ModelUnavailable
from agent.model.base import Completion, ModelServer, Profile, Request

FAILURES = (ModelUnavailable, ModelTimeout, ModelDenied, ModelReplyInvalid)
"""What may be a server's own fault, so that another one is asked."""

PAUSES = (1.0, 2.0, 5.0, 15.0, 60.0)
"""Seconds for which a server that failed is left out; the last one repeats."""

STRIKES = 2
"""Failures in a row after which a server is left out although it answers when it is asked how it is."""

_PROBE_SECONDS = 5.0
_PREFIXES = 256
"""Prefixes whose servers are remembered, the latest."""


@dataclass
class _Replica:
    server: ModelServer
    number: int
    busy: int = 0
    """Answers that are under way."""
    strikes: int = 0
    pauses: int = 0
    until: float | None = None
    """When a server that was left out is asked again; None: it is not left out."""
    failure: ModelError | None = None

    @property
    def parallel(self) -> int:
        return self.server.profile.parallel

    def has_room(self, answers: int) -> bool:
        return self.busy + answers <= self.parallel


class Replicas:
    """Implements `agent.model.base.ModelServer` by servers that do."""

    def __init__(
        self,
        servers: Sequence[ModelServer],
        *,
        routing: Literal["prefix", "round_robin"] = "prefix",
        first: int = 0,
        say: Callable[[str], None] = lambda text: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`round_robin` sends requests to one server after the other: what prefix routing is measured against.
        `first`: the number of the server that is preferred where several are equally free.
        """
        self._replicas = [_Replica(server, number) for number, server in enumerate(servers)]
        self._routing = routing
        self._say = say
        self._clock = clock
        self._first = first
        self._turns = count(first)
        self._homes: OrderedDict[str, list[_Replica]] = OrderedDict()
        """Prefix -> the servers that hold it, its home first."""
        profiles = [server.profile for server in servers]
        self._profile = replace(
            profiles[0],
            parallel=sum(profile.parallel for profile in profiles),
            context_tokens=min(profile.context_tokens for profile in profiles),
            context_budget=min(profile.context_budget for profile in profiles),
        )

    @property
    def profile(self) -> Profile:
        """That of the servers, with room for the requests of all."""
        return self._profile

    async def complete(self, request: Request, n: int = 1) -> tuple[Completion, ...]:
        """As `agent.model.base.Model`. Raises a server's failure when no other one could do better."""
        tried: list[_Replica] = []
        while True:
            await self._ask_again()
            replica = self._chosen(request, n, tried)
            if replica is None:
                raise _failure(tried or self._replicas)
            replica.busy += n
            try:
                answers = await replica.server.complete(request, n)
            except FAILURES as error:
                tried.append(replica)
                await self._failed(replica, error)
            else:
                replica.strikes = replica.pauses = 0
                for other in tried:  # the request was not what they failed of
                    self._strike(other)
                return answers
            finally:
                replica.busy -= n

    async def check(self) -> None:
        """See `agent.model.base.ModelServer`: whether any of them answers."""
        await self._ask_again(at_once=True)
        if all(replica.until is not None for replica in self._replicas):
            raise _failure(self._replicas)

    def _chosen(self, request: Request, n: int, tried: Sequence[_Replica]) -> _Replica | None:
        """The server for a request; None when there is none that was not tried."""
        free = [replica for replica in self._replicas if replica.until is None and replica not in tried]
        if not free:
            return None
        if self._routing == "round_robin":
            return free[next(self._turns) % len(free)]
        homes = self._homes.setdefault(request.prefix, [])
        self._homes.move_to_end(request.prefix)
        while len(self._homes) > _PREFIXES:
            self._homes.popitem(last=False)
        known = [replica for replica in homes if replica in free]
        for replica in known:
            if replica.has_room(n):
                return replica
        roomy = [replica for replica in free if replica.has_room(n)]
        if known and not roomy:
            return known[0]  # it waits there
        found = min(roomy or free, key=self._load)
        homes.append(found)
        return found

    def _load(self, replica: _Replica) -> tuple[float, int, int]:
        homes = sum(bool(those) and those[0] is replica for those in self._homes.values())
        return replica.busy / replica.parallel, homes, (replica.number - self._first) % len(self._replicas)

    async def _failed(self, replica: _Replica, error: ModelError) -> None:
        """Leave a server out at once if it is gone; else only if others can do what it could not."""
        replica.failure = error
        if isinstance(error, ModelDenied) or not await self._answers(replica):
            self._leave_out(replica)

    def _strike(self, replica: _Replica) -> None:
        replica.strikes += 1
        if replica.strikes >= STRIKES and replica.until is None:
            self._leave_out(replica)

    def _leave_out(self, replica: _Replica) -> None:
        if replica.until is None and len(self._replicas) > 1:
            self._say(f"model server {replica.number + 1} of {len(self._replicas)} is left out: {replica.failure}")
        replica.until = self._clock() + PAUSES[min(replica.pauses, len(PAUSES) - 1)]
        replica.pauses += 1

    async def _ask_again(self, *, at_once: bool = False) -> None:
        """Take servers back that were left out and answer again; when none is left, without waiting for their time."""
        none = all(replica.until is not None for replica in self._replicas)
        for replica in self._replicas:
            if replica.until is None or (replica.until > self._clock() and not (none or at_once)):
                continue
            replica.until = self._clock() + _PROBE_SECONDS  # others need not ask meanwhile
            if await self._answers(replica):
                if len(self._replicas) > 1:
                    self._say(f"model server {replica.number + 1} of {len(self._replicas)} answers again")
                replica.until, replica.strikes = None, 0
            else:
                self._leave_out(replica)

    async def _answers(self, replica: _Replica) -> bool:
        try:
            with anyio.fail_after(_PROBE_SECONDS):
                await replica.server.check()
        except TimeoutError as error:  # ModelTimeout is one
            replica.failure = error if isinstance(error, ModelError) else replica.failure
            return False
        except ModelError as error:
            replica.failure = error
            return False
        return True


def _failure(replicas: Sequence[_Replica]) -> ModelError:
    found = [replica.failure for replica in replicas if replica.failure is not None]
    return found[-1] if found else ModelUnavailable("no model server answers")
