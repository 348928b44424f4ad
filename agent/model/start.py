"""Starts the model servers that a spec asks for on this machine, and ends them with the block."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from agent.errors import ModelUnavailable
from agent.model.base import Profile
from agent.model.client import Patience
from agent.model.embedded import ensure_embedded
from agent.model.facts import facts_of
from agent.model.llama import SLOTS
from agent.model.process import Launch, Say, Server, all_served
from agent.model.profile import profile_for
from agent.model.serving import Serving, planned
from agent.model.spec import Embedded, Vllm
from agent.model.vllm import find_vllm, launch_vllm, missing_vllm, patience_of, unseen_gpu
from agent.parallel import beside

# Floors for llama.cpp on a few busy cores with all its slots at work, about a tenth of what two free cores gave.
_CPU = Patience(least=300.0, prompt_rate=8.0, answer_rate=1.0)


@dataclass(frozen=True)
class Place:
    """Where servers are started."""

    cache: Path
    say: Say
    log_dir: Path | None = None
    vllm_python: str | None = None
    port: int | None = None
    """Of the first server; the others take those that follow. None: free ones."""
    key: str | None = None
    """What clients have to show; None: a new one."""


@dataclass(frozen=True)
class Started:
    """Servers that hold the same model, each healthy when this is given."""

    name: str
    """What they call the model."""
    profile: Profile
    """Its `parallel` is that of one server."""
    patience: Patience
    key: str
    copies: int
    """Of a shared prefix that one server keeps; see WarmedModel."""
    servers: tuple[Server, ...] = ()
    gpus: tuple[str, ...] = ()
    """UUIDs of the GPUs that they have; "" for those whose is not known."""


@asynccontextmanager
async def started(
    spec: Embedded | Vllm, place: Place, serving: Serving, changes: Mapping[str, object]
) -> AsyncGenerator[Started]:
    """The servers of a spec, each started again once when it dies. `changes` are fields of the model's profile.

    Raises ModelUnavailable, ModelSpecError.
    """
    key = place.key or secrets.token_hex(16)
    if isinstance(spec, Embedded):
        launches, ready = await _embedded(spec, place, key, changes)
    else:
        launches, ready = await _vllm(spec, place, serving, key, changes)
    async with (
        all_served(launches, place.log_dir, place.say) as servers,
        beside(*(partial(_watched, server, place.say) for server in servers)),
    ):
        yield replace(ready, servers=servers)


async def _watched(server: Server, say: Say) -> None:
    try:
        await server.watch()
    except ModelUnavailable as failure:
        say(str(failure))


async def _embedded(
    spec: Embedded, place: Place, key: str, changes: Mapping[str, object]
) -> tuple[Sequence[Launch], Started]:
    launch = await ensure_embedded(place.cache, place.say, spec.size, key=key, port=place.port)
    name = f"embedded:{spec.size}"
    return [launch], Started(name, profile_for(name, changes), _CPU, key, SLOTS)


async def _vllm(
    spec: Vllm, place: Place, serving: Serving, key: str, changes: Mapping[str, object]
) -> tuple[Sequence[Launch], Started]:
    installed = await find_vllm(place.vllm_python)
    if installed is None:
        raise missing_vllm()
    if problem := unseen_gpu(installed):
        raise ModelUnavailable(problem)
    profile = profile_for(spec.model, changes)
    plan = planned(spec.model, facts_of(spec.model), installed.gpus, profile, serving)
    place.say(f"starting vLLM {installed.version} for {spec.model}: {plan.told()}")
    launches = [
        replace(
            launch_vllm(spec.model, installed, plan, serving, key, replica),
            port=None if place.port is None else place.port + replica,
        )
        for replica in range(len(plan.devices))
    ]
    if "parallel" not in changes:
        profile = replace(profile, parallel=plan.sequences)
    gpus = tuple(installed.gpus[number].uuid for devices in plan.devices for number in devices)
    return launches, Started(spec.model, profile, patience_of(installed), key, 1, gpus=gpus)
