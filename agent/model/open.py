"""The one place where a model spec becomes a running model."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

import anyio

from agent.errors import ModelError, ModelUnavailable
from agent.model.base import Model, Profile
from agent.model.client import OpenAIModel, Patience
from agent.model.llama import SLOTS, build_engine, compiler, find_engine, launch_llama
from agent.model.process import Launch, Say, served
from agent.model.profile import overridden, profile_for
from agent.model.scripted import load_scripted
from agent.model.spec import Embedded, OpenAI, Scripted, Spec, Vllm, parse_spec
from agent.model.vllm import find_vllm, launch_vllm, missing_vllm, patience_of
from agent.model.warm import WarmedModel
from agent.model.weights import DEFAULT_SIZE, fetch_weights, weights_for, weights_path, weights_ready
from agent.model.xllama import find_wheel, install_wheel, launch_xllama

# Floors for llama.cpp on a few busy cores with all its slots at work, about a tenth of what two free cores gave.
_CPU = Patience(least=300.0, prompt_rate=8.0, answer_rate=1.0)

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
    vllm_python: str | None = None,
) -> AsyncGenerator[Model]:
    """The model that a spec names, for the block; a server that we start for it ends with the block.

    With no spec: vLLM where it is installed and sees a GPU that is large enough, `embedded` otherwise. `overrides`
    are fields of the model's profile; `vllm_python` names the Python that has vLLM (else BESTPATCH_VLLM_PYTHON).
    Raises ModelSpecError, ModelUnavailable, ModelDenied.
    """
    meant = parse_spec(spec) if spec is not None else await _default(say, vllm_python)
    changes = {name: value for name, value in (overrides or {}).items() if value is not None}
    async with AsyncExitStack() as stack:
        match meant:
            case Scripted(file):
                model = load_scripted(file)
                yield model.with_profile(overridden(model.profile, changes))
            case OpenAI():
                client = await _endpoint(meant, changes)
                stack.push_async_callback(client.aclose)
                yield client
            case Embedded(size):
                launch = await ensure_embedded(cache, say, size)
                profile = profile_for(f"embedded:{size}", changes)
                client = await _own_server(stack, launch, f"embedded:{size}", profile, _CPU, log_dir, say)
                yield WarmedModel(client, SLOTS)
            case Vllm(name):
                installed = await find_vllm(vllm_python)
                if installed is None:
                    raise missing_vllm()
                profile = profile_for(name, changes)
                where = f"{len(installed.gpus)} GPU(s)" if installed.gpus else "the CPU"
                say(f"starting vLLM {installed.version} on {where} for {name}")
                launch = launch_vllm(name, installed, profile, secrets.token_hex(16))
                client = await _own_server(stack, launch, name, profile, patience_of(installed), log_dir, say)
                yield WarmedModel(client, 1)


async def _own_server(
    stack: AsyncExitStack,
    launch: Launch,
    name: str,
    profile: Profile,
    patience: Patience,
    log_dir: Path | None,
    say: Say,
) -> OpenAIModel:
    server = await stack.enter_async_context(served(launch, log_dir, say))
    key = next(value for variable, value in launch.env.items() if variable.endswith("_API_KEY"))
    client = OpenAIModel(
        base_url=f"{server.address}/v1",
        model=name,
        profile=profile,
        api_key=key,
        patience=patience,
        local=True,
        revive=server.revive,
    )
    stack.push_async_callback(client.aclose)
    return await _fitted(client, name)


async def _endpoint(spec: OpenAI, changes: Mapping[str, object]) -> OpenAIModel:
    """A client for a server of the user's, which has answered once."""
    client = OpenAIModel(
        base_url=spec.base_url,
        model=spec.model,
        profile=profile_for(spec.model, changes),
        api_key=os.environ.get("BESTPATCH_API_KEY") or os.environ.get("OPENAI_API_KEY"),
        local=spec.local,
    )
    try:
        return await _fitted(client, spec.model, fixed="context_tokens" in changes)
    except BaseException:
        await client.aclose()
        raise


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


async def _default(say: Say, vllm_python: str | None) -> Spec:
    installed = await find_vllm(vllm_python)
    for size, name in _FOR_GPU:
        if installed is not None and installed.gpus and max(installed.gpus) >= size:
            say(f"no model was named: serving {name} by vLLM on this machine's GPU")
            return Vllm(name)
    return Embedded()


async def ensure_embedded(cache: Path, say: Say = _silent, size: str = DEFAULT_SIZE) -> Launch:
    """Weights and engine in the cache, fetched and built where missing; returns how to start the server.

    Quick when all is there. Raises ModelUnavailable saying what is missing and how to mend it.
    """
    weights = await fetch_weights(weights_for(size), cache, say)
    key = secrets.token_hex(16)
    if compiler() is not None or find_engine(cache) is not None:
        try:
            return launch_llama(await build_engine(cache, weights, say), weights, key)
        except ModelUnavailable as error:
            say(f"{error}\ntaking the ready-made model server instead, four to six times slower")
    return launch_xllama(await install_wheel(cache, say), weights, key)


def embedded_status(cache: Path, size: str = DEFAULT_SIZE) -> list[tuple[str, bool, str]]:
    """For `bestpatch doctor`: what the embedded model needs, whether it is there, and how to get it. Starts nothing."""
    weights = weights_for(size)
    there = weights_ready(weights, cache)
    prepare = f"run `{Path(sys.executable).name} -m agent.model.open --prepare`, or let the first run do it"
    found = [
        (f"weights {weights_path(weights, cache)}", there, "" if there else f"{prepare} ({weights.size / 1e9:.1f} GB)")
    ]
    if engine := find_engine(cache):
        found.append((f"model server {engine}", True, ""))
    elif wheel := find_wheel(cache):
        found.append((f"model server {wheel} (the slow one)", True, "for the fast one: apt-get install g++ cmake"))
    else:
        mend = (
            f"{prepare} (builds for about five minutes)" if compiler() else "apt-get install g++ cmake, then " + prepare
        )
        found.append(("model server", False, mend))
    return found


def main() -> int:
    """`python -m agent.model.open --prepare`: make the embedded model ready, as `make demo` does."""
    parser = argparse.ArgumentParser(description="Prepares the embedded model, or says what it lacks.")
    parser.add_argument("--prepare", action="store_true", help="fetch the weights and build the server")
    parser.add_argument("--size", default=DEFAULT_SIZE, help="which weights: 1.5b or 0.5b")
    parser.add_argument("--cache", type=Path, help="the cache folder (default: the user's, or BESTPATCH_CACHE)")
    arguments = parser.parse_args()
    import platformdirs

    cache: Path = arguments.cache or Path(
        os.environ.get("BESTPATCH_CACHE") or platformdirs.user_cache_path("bestpatch")
    )

    def say(text: str) -> None:
        sys.stderr.write(text + "\n")

    try:
        if arguments.prepare:
            anyio.run(ensure_embedded, cache, say, arguments.size)
        status = embedded_status(cache, arguments.size)
    except ModelError as error:
        say(str(error))
        return 4
    for what, ready, mend in status:
        sys.stdout.write(f"{'ok     ' if ready else 'missing'} {what}{': ' + mend if mend else ''}\n")
    return 0 if all(ready for _, ready, _ in status) else 1


if __name__ == "__main__":
    sys.exit(main())
