"""The one place where a model spec becomes a running model."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from agent.model.base import ModelServer
from agent.model.meter import Meter
from agent.model.process import Say
from agent.model.profile import overridden, profile_for
from agent.model.scripted import load_scripted
from agent.model.served import Served, connected
from agent.model.serving import Serving
from agent.model.spec import Embedded, OpenAI, Scripted, Vllm, parse_spec
from agent.model.start import Place, Started, started
from agent.model.vllm import find_vllm, unseen_gpu

# bf16 weights take 15 and 65 GB; the rest is for the cells of the prompts.
_FOR_GPU = (
    (75 << 30, "Qwen/Qwen2.5-Coder-32B-Instruct"),
    (22 << 30, "Qwen/Qwen2.5-Coder-7B-Instruct"),
)


def _silent(_: str) -> None:
    """Tells nobody."""


def _unheard(_: Served) -> None:
    """No other process wants to know."""


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
    served: Callable[[Served], None] | None = None,
) -> AsyncGenerator[ModelServer]:
    """The model that a spec names, for the block; a server that we start for it ends with the block.

    With no spec: vLLM where it is installed and sees a GPU that is large enough, `embedded` otherwise. `overrides`
    are fields of the model's profile, `serving` is how vLLM is to serve; `vllm_python` names the Python that has vLLM
    (else BESTPATCH_VLLM_PYTHON). `metered` gets a meter of the GPUs of a server that was started, `served` what other
    processes need to ask the same servers; it hears nothing of a model that is this process' own (scripted, embedded).
    Raises ModelSpecError, ModelUnavailable, ModelDenied.
    """
    meant = parse_spec(spec) if spec is not None else await default_spec(say, vllm_python)
    changes = {name: value for name, value in (overrides or {}).items() if value is not None}
    told = served or _unheard
    match meant:
        case Scripted(file):
            model = load_scripted(file)
            yield model.with_profile(overridden(model.profile, changes))
        case OpenAI():
            found = _endpoints(meant, changes, serving or Serving())
            told(found)
            async with connected(found, say) as model:
                yield model
        case Embedded() | Vllm():
            place, wanted = Place(cache, say, log_dir, vllm_python), serving or Serving()
            async with started(meant, place, wanted, changes) as ready:
                if metered is not None and ready.gpus:
                    metered(Meter(ready.gpus))
                found = _own(ready, wanted)
                if isinstance(meant, Vllm):
                    told(found)
                async with connected(found, say, ready.servers[0].revive) as model:
                    yield model


def _own(ready: Started, serving: Serving) -> Served:
    """Servers that we have started."""
    urls = tuple(f"{server.address}/v1" for server in ready.servers)
    return Served(ready.name, urls, ready.profile, ready.key, ready.patience, ready.copies, routing=serving.routing)


def _endpoints(spec: OpenAI, changes: Mapping[str, object], serving: Serving) -> Served:
    """Servers of the user's."""
    return Served(
        spec.model,
        spec.base_urls,
        profile_for(spec.model, changes),
        os.environ.get("BESTPATCH_API_KEY") or os.environ.get("OPENAI_API_KEY"),
        copies=1 if len(spec.base_urls) > 1 else 0,
        context_named="context_tokens" in changes,
        routing=serving.routing,
    )


async def default_spec(say: Say, vllm_python: str | None = None) -> Vllm | Embedded:
    """What is taken where no model is named. Raises ModelUnavailable."""
    installed = await find_vllm(vllm_python)
    for size, name in _FOR_GPU:
        if installed is not None and installed.gpus and max(gpu.memory for gpu in installed.gpus) >= size:
            say(f"no model was named: serving {name} by vLLM on this machine's GPU")
            return Vllm(name)
    if installed is not None and (problem := unseen_gpu(installed)):
        say(f"{problem}; taking the embedded model, which is small and on the CPU")
    return Embedded()
