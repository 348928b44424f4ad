"""What is known of a model before it is loaded: from its files where they are on this machine, else from its name."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

_BYTES = {"fp8": 1.0, "int8": 1.0, "w8a8": 1.0, "awq": 0.6, "gptq": 0.6, "int4": 0.6, "4bit": 0.6, "w4a16": 0.6}
"""A parameter's bytes by what a model's name says of it; two otherwise."""


_CELLS = 200_000
"""Weights are so many times as large as a token's cell where nothing says it: 108,000 (1.5B) to 265,000 (7B) in
Qwen2.5-Coder, 250,000 for its 32B."""


@dataclass(frozen=True)
class Facts:
    """What is known of a model before it is loaded. `cell` is the cache's bytes for one token; 0: not known."""

    weights: int = 0
    cell: int = 0
    heads: int = 0
    length: int | None = None
    architecture: str = ""
    """The class that models of this kind have in transformers and vLLM, such as `Qwen2ForCausalLM`; "": not known."""


def facts_of(model: str) -> Facts:
    """What the model's files say, of a local folder or of one that the hub's cache holds; else what its name says."""
    folder = _folder(model)
    config: Mapping[str, Any] = _config(folder) if folder else {}
    weights = sum(path.stat().st_size for path in folder.glob("*.safetensors")) if folder else 0
    weights = weights or _weights_by_name(model)
    length = config.get("max_position_embeddings")
    heads, layers = _int(config, "num_attention_heads"), _int(config, "num_hidden_layers")
    width = _int(config, "head_dim") or (_int(config, "hidden_size") // heads if heads else 0)
    cell = 2 * layers * (_int(config, "num_key_value_heads") or heads) * width * 2  # keys and values, two bytes each
    return Facts(
        weights,
        cell or weights // _CELLS,
        heads,
        length if isinstance(length, int) else None,
        _architecture(config) if config else _architecture_by_name(model),
    )


def _architecture(config: Mapping[str, Any]) -> str:
    match config:
        case {"text_config": _}:  # a part of such a model may name a class of its own
            return ""
        case {"architectures": [str(name), *_]}:
            return name
        case _:
            return ""


def _architecture_by_name(model: str) -> str:
    """Of `Qwen2.5-Coder-32B-Instruct` and its like, and not of models that also see or hear, or of experts."""
    dense = re.search(r"qwen2(\.5)?-((coder|math)-)?\d+(\.\d+)?b(?!-a\d|\w)", model.rpartition("/")[2], re.IGNORECASE)
    return "Qwen2ForCausalLM" if dense else ""


def _weights_by_name(model: str) -> int:
    """Bytes by the billions of parameters that a name ends with, such as `-32B-Instruct-AWQ`; 0 where it has none."""
    found = re.search(r"(?<![\w.])(\d+(?:\.\d+)?)b(?![a-z0-9])", model, re.IGNORECASE)
    if found is None:
        return 0
    each = next((size for mark, size in _BYTES.items() if mark in model.lower()), 2.0)
    return math.ceil(float(found[1]) * 1e9 * each)


def _folder(model: str) -> Path | None:
    if Path(model).is_dir():
        return Path(model)
    from platformdirs import user_cache_path

    hub = user_cache_path("huggingface") / "hub" / f"models--{model.replace('/', '--')}" / "snapshots"
    return max(hub.iterdir(), key=lambda path: path.stat().st_mtime, default=None) if hub.is_dir() else None


def _config(folder: Path) -> Mapping[str, Any]:
    try:
        found = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    config = cast("dict[str, Any]", found)
    inner = config.get("text_config")  # of models that also see
    return {**config, **cast("dict[str, Any]", inner)} if isinstance(inner, dict) else config


def _int(config: Mapping[str, Any], name: str) -> int:
    value = config.get(name)
    return value if isinstance(value, int) else 0
