"""The one place where a model spec becomes a running model."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

from agent.model.base import ModelServer
from agent.model.client import OpenAIModel
from agent.model.meter import Meter
from agent.model.process import Say, Server
from agent.model.profile import overridden, profile_for
from agent.model.replicas import Replicas
from agent.model.scripted import load_scripted
from agent.model.serving import Serving
from agent.model.spec import Embedded, OpenAI, Scripted, Vllm, is_local, parse_spec
from agent.model.start import Place, Started, started
from agent.model.vllm import find_vllm
from agent.model.warm import WarmedModel

# bf16 weights take 15 and 65 GB; the rest is for the cells of the prompts.
_FOR_GPU = (
    (75 << 30, "Qwen/Qwen2.5-Coder-32B-Instruct"),
    (22 << 30, "Qwen/Qwen2.5-Coder-7B-Instruct"),
)


def _silent(_: str) -> None:
    """Tells nobody."""


@asynccontextmanager
async def open_model(
    spec: str | None,
    *,
    cache: Path,
    log_dir: Path | None = None,
    say: Say = _silent,
    overrides: Mapping[str, object] | None = None,
    serving: Serving | None = None,
    vllm_python: str | None = None,
    metered: Callable[[Meter], None] | None = None,
) -> AsyncGenerator[ModelServer]:
    """The model that a spec names, for the block; a server that we start for it ends with the block.

    With no spec: vLLM where it is installed and sees a GPU that is large enough, `embedded` otherwise. `overrides`
    are fields of the model's profile, `serving` is how vLLM is to serve; `vllm_python` names the Python that has vLLM
    (else BESTPATCH_VLLM_PYTHON). `metered` gets a meter of the GPUs of a server that was started.
    Raises ModelSpecError, ModelUnavailable, ModelDenied.
    """
    meant = parse_spec(spec) if spec is not None else await default_spec(say, vllm_python)
    changes = {name: value for name, value in (overrides or {}).items() if value is not None}
    async with AsyncExitStack() as stack:
        match meant:
            case Scripted(file):
                model = load_scripted(file)
                yield model.with_profile(overridden(model.profile, changes))
            case OpenAI():
                clients = [await _endpoint(stack, meant, url, changes) for url in meant.base_urls]
                warmed = [WarmedModel(client, 1) for client in clients] if len(clients) > 1 else clients
                yield _as_one(warmed, serving or Serving(), say)
            case Embedded() | Vllm():
                place = Place(cache, say, log_dir, vllm_python)
                wanted = serving or Serving()
                ready = await stack.enter_async_context(started(meant, place, wanted, changes))
                if metered is not None and ready.gpus:
                    metered(Meter(ready.gpus))
                clients = [await _client(stack, server, ready) for server in ready.servers]
                yield _as_one([WarmedModel(client, ready.copies) for client in clients], wanted, say)


def _as_one(servers: Sequence[ModelServer], serving: Serving, say: Say) -> ModelServer:
    return servers[0] if len(servers) == 1 else Replicas(servers, routing=serving.routing, say=say)


async def _client(stack: AsyncExitStack, server: Server, ready: Started) -> OpenAIModel:
    """A client of a server of our own. One that is alone is started again by whoever finds it dead; of several, the
    others answer meanwhile."""
    several = len(ready.servers) > 1
    client = OpenAIModel(
        base_url=f"{server.address}/v1",
        model=ready.name,
        profile=ready.profile,
        api_key=ready.key,
        patience=ready.patience,
        local=True,
        revive=None if several else server.revive,
        tries=1 if several else None,
    )
    stack.push_async_callback(client.aclose)
    return await _fitted(client, ready.name)


async def _endpoint(stack: AsyncExitStack, spec: OpenAI, url: str, changes: Mapping[str, object]) -> OpenAIModel:
    """A client for a server of the user's, which has answered once."""
    client = OpenAIModel(
        base_url=url,
        model=spec.model,
        profile=profile_for(spec.model, changes),
        api_key=os.environ.get("BESTPATCH_API_KEY") or os.environ.get("OPENAI_API_KEY"),
        local=is_local(url),
        tries=1 if len(spec.base_urls) > 1 else None,
    )
    stack.push_async_callback(client.aclose)
    return await _fitted(client, spec.model, fixed="context_tokens" in changes)


async def _fitted(client: OpenAIModel, name: str, fixed: bool = False) -> OpenAIModel:
    """The client with the context that the server says it has, which is where it is most often started smaller."""
    names = await client.listed()
    entry = names.get(name) or (next(iter(names.values())) if len(names) == 1 else {})
    length = entry.get("max_model_len")  # vLLM and what follows it
    if length is None and isinstance(meta := entry.get("meta"), dict):  # llama.cpp
        length = cast(dict[str, object], meta).get("n_ctx")
    if isinstance(length, int) and not fixed and length != client.profile.context_tokens:
        budget = min(client.profile.context_budget, length // 2)
        client.profile = replace(client.profile, context_tokens=length, context_budget=budget)
    return client


async def default_spec(say: Say, vllm_python: str | None = None) -> Vllm | Embedded:
    """What is taken where no model is named. Raises ModelUnavailable."""
    installed = await find_vllm(vllm_python)
    for size, name in _FOR_GPU:
        if installed is not None and installed.gpus and max(gpu.memory for gpu in installed.gpus) >= size:
            say(f"no model was named: serving {name} by vLLM on this machine's GPU")
            return Vllm(name)
    return Embedded()
