"""How vLLM serves a model on a machine: GPUs for each replica, context, memory, and sequences at once.

Chosen from the model's `config.json` and weights and from the memory that is free, each figure unless the user names
it. One replica takes as few GPUs as hold the weights and a useful cache beside them: replicas need not talk to each
other, so what tensor parallelism would spend on that is saved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from agent.errors import ModelUnavailable
from agent.model.base import Profile
from agent.model.facts import Facts

SEQUENCES = 256
"""At most so many at once in a replica: decoding 128 took 2.4 times as long as 32, so beyond that little is gained."""

_LONGEST = 131_072
"""CodeMonkeys' stages need no more than 64k of context and room to answer; a model made for less keeps its own."""

_SHORTEST = 8_192
"""A context below it holds neither a repository's part nor an answer."""

_SHARE = 0.92
"""Of a GPU's memory, as vLLM counts it: weights, activations and cache."""

_ASIDE = 3 << 30
"""Activations and compiled graphs; 2.3 GiB of an H200 for a 1.5B at 256 sequences."""

_WEIGHTS = 0.7
"""Of a GPU's share that weights may take, so that the cache holds more than a few sequences."""


@dataclass(frozen=True)
class Serving:
    """What the user wants of the server; None is chosen for the model and the machine."""

    replicas: int | None = None
    tensor_parallel: int | None = None
    context_tokens: int | None = None
    memory_share: float | None = None
    sequences: int | None = None
    quantization: Literal["fp8"] | None = None
    speculation: Literal["none", "ngram"] = "none"
    speculative_tokens: int = 8
    routing: Literal["prefix", "round_robin"] = "prefix"
    arguments: tuple[str, ...] = ()
    """Added to `vllm serve`'s own."""


@dataclass(frozen=True)
class Gpu:
    """A GPU as the interpreter with vLLM sees it. Bytes."""

    memory: int
    free: int
    capability: tuple[int, int] = (0, 0)
    name: str = "GPU"
    uuid: str = ""
    """As the driver names it; "" where torch does not tell."""


@dataclass(frozen=True)
class Plan:
    """How it is served. `devices`: numbers of the GPUs of each replica; one empty tuple is the CPU."""

    devices: tuple[tuple[int, ...], ...]
    context_tokens: int
    sequences: int
    memory_share: float | None = None
    architecture: str = ""
    """The model's; see `Facts`."""

    def told(self) -> str:
        """In one line, for people."""
        each = len(self.devices[0])
        where = "the CPU" if not each else f"{each} GPU" + ("s" if each > 1 else "")
        count = len(self.devices)
        replicas = f"{count} replicas on {where} each" if count > 1 else f"one server on {where}"
        return f"{replicas}, a context of {self.context_tokens:,} tokens, {self.sequences} sequences at once"


def planned(model: str, facts: Facts, gpus: Sequence[Gpu], profile: Profile, wanted: Serving) -> Plan:
    """The plan for a model on these GPUs, on the CPU where there are none.

    Raises ModelUnavailable when what is wanted contradicts the machine, or the model does not fit.
    """
    longest = min(_LONGEST, profile.context_tokens, facts.length or profile.context_tokens)
    context = min(wanted.context_tokens or longest, facts.length or _LONGEST)
    if not gpus:
        if (wanted.replicas or 1) > 1 or (wanted.tensor_parallel or 1) > 1:
            raise ModelUnavailable("several replicas need several GPUs, and none is visible; leave out serve.replicas")
        sequences = wanted.sequences or max(16, profile.parallel)
        return Plan(((),), context, sequences, architecture=facts.architecture)
    share = wanted.memory_share or _free_share(gpus)
    room = min(gpu.memory for gpu in gpus) * share - _ASIDE
    _check_quantization(wanted, gpus)
    weights = facts.weights // 2 if wanted.quantization and facts.weights else facts.weights
    width = wanted.tensor_parallel or _width(facts, weights, context, room, len(gpus))
    if width * (wanted.replicas or 1) > len(gpus):
        raise ModelUnavailable(
            f"{wanted.replicas or 1} replicas of {width} GPUs are asked for, and {len(gpus)} are visible; lower "
            "serve.replicas or serve.tensor_parallel"
        )
    cells = int((room * width - weights) // facts.cell) if facts.cell and weights else 0
    if facts.cell and weights and cells < min(context, _SHORTEST):
        need = (weights + _SHORTEST * facts.cell) / width + _ASIDE
        raise ModelUnavailable(
            f"{model} needs {need / 2**30:.0f} GiB on each of {width} GPUs and there are "
            f"{(room + _ASIDE) / 2**30:.0f} GiB to use: take a smaller model, or its weights in 8 bits "
            '(serve.quantization = "fp8"), or end what else uses the GPUs'
        )
    if cells and wanted.context_tokens is None:
        context = min(context, cells)
    replicas = wanted.replicas or len(gpus) // width
    devices = tuple(tuple(range(number * width, (number + 1) * width)) for number in range(replicas))
    sequences = wanted.sequences or _sequences(cells, profile)
    return Plan(devices, context, sequences, round(share, 3), facts.architecture)


def _free_share(gpus: Sequence[Gpu]) -> float:
    """Of a GPU's memory that is ours: another program's is not."""
    return min(_SHARE, *(gpu.free / gpu.memory - 0.02 for gpu in gpus))


def _check_quantization(wanted: Serving, gpus: Sequence[Gpu]) -> None:
    if wanted.quantization == "fp8" and any(gpu.capability < (8, 9) for gpu in gpus):
        raise ModelUnavailable(f"{gpus[0].name} does not compute in FP8 (capability 8.9 or more); leave it out")


def _width(facts: Facts, weights: int, context: int, room: float, count: int) -> int:
    """GPUs of one replica: as few as hold the weights and one whole context; all when nothing is known.

    Powers of two, which attention heads divide by in all common models.
    """
    most = 1 << (count.bit_length() - 1)
    if not weights:
        return most
    for width in (1 << power for power in range(most.bit_length())):
        fits = weights <= _WEIGHTS * room * width and weights + context * facts.cell <= room * width
        if fits and (not facts.heads or facts.heads % width == 0):
            return width
    return most


def _sequences(cells: int, profile: Profile) -> int:
    """So many that none is preempted: each has what it alone writes and reads, and an eighth of a shared context."""
    if not cells:
        return min(SEQUENCES, max(16, profile.parallel))
    own = 2 * profile.edit_tokens + profile.context_budget // 8
    return max(8, min(SEQUENCES, cells // own))
