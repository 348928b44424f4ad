"""What a client has to know of model servers that are there, apart from the clients themselves: so that other processes
can be told of it, and ask the same servers.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Literal, cast

from agent.model.base import ModelServer, Profile
from agent.model.client import OpenAIModel, Patience
from agent.model.process import Say
from agent.model.replicas import Replicas
from agent.model.spec import is_local
from agent.model.warm import WarmedModel


@dataclass(frozen=True)
class Served:
    """Servers that hold the same model. It can be pickled."""

    model: str
    """What they call it."""
    urls: tuple[str, ...]
    """Base URLs, each with its /v1."""
    profile: Profile
    """That of one server, before it has said how long its context is."""
    key: str | None = field(repr=False)
    patience: Patience | None = None
    copies: int = 0
    """Of a shared prefix that one server keeps, see WarmedModel; 0: no prefix is read by itself."""
    context_named: bool = False
    """The user has said how long the context is, whatever the server says."""
    routing: Literal["prefix", "round_robin"] = "prefix"
    first: int = 0
    """The server that gets the first task: processes that know nothing of each other begin at different ones."""


@asynccontextmanager
async def connected(
    served: Served, say: Say, revive: Callable[[], Awaitable[None]] | None = None
) -> AsyncGenerator[ModelServer]:
    """The servers as one, for the block, each of which has answered once.

    `revive` starts a server again that is alone; of several, the others answer meanwhile. Raises ModelUnavailable,
    ModelTimeout, ModelDenied.
    """
    async with AsyncExitStack() as stack:
        clients = [await _client(stack, served, url, revive) for url in served.urls]
        servers: list[ModelServer] = [*clients]
        if served.copies:
            servers = [WarmedModel(client, served.copies) for client in clients]
        if len(servers) == 1:
            yield servers[0]
        else:
            yield Replicas(servers, routing=served.routing, first=served.first, say=say)


async def _client(
    stack: AsyncExitStack, served: Served, url: str, revive: Callable[[], Awaitable[None]] | None
) -> OpenAIModel:
    several = len(served.urls) > 1
    client = OpenAIModel(
        base_url=url,
        model=served.model,
        profile=served.profile,
        api_key=served.key,
        patience=served.patience,
        local=is_local(url),
        revive=None if several else revive,
        tries=1 if several else None,
    )
    stack.push_async_callback(client.aclose)
    return await _fitted(client, served)


async def _fitted(client: OpenAIModel, served: Served) -> OpenAIModel:
    """The client with the context that the server says it has, which is where it is most often started smaller."""
    names = await client.listed()
    entry = names.get(served.model) or (next(iter(names.values())) if len(names) == 1 else {})
    length = entry.get("max_model_len")  # vLLM and what follows it
    if length is None and isinstance(meta := entry.get("meta"), dict):  # llama.cpp
        length = cast(dict[str, object], meta).get("n_ctx")
    if isinstance(length, int) and not served.context_named and length != client.profile.context_tokens:
        budget = min(client.profile.context_budget, length // 2)
        client.profile = replace(client.profile, context_tokens=length, context_budget=budget)
    return client
