"""The price file: what tokens and GPU hours cost, by model.

    ["Qwen/Qwen2.5-Coder-32B-Instruct"]    # US dollars for a million tokens, and for an hour of one GPU
    prompt = 0.20
    cached = 0.02
    completion = 0.60

    ["vllm:*"]
    gpu_hour = 2.50

A table is for the models that its name matches, as the spec names them, with or without what stands before the colon
and after the `@`. The first that matches counts.
"""

from __future__ import annotations

import tomllib
from fnmatch import fnmatchcase
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from harness.config import PriceSettings, Settings
from harness.errors import SettingsError

_TABLES = TypeAdapter(dict[str, PriceSettings])


def profile_changes(settings: Settings) -> dict[str, object]:
    """Overrides of the model's profile, with its price from the price file where the settings name none.

    Raises SettingsError.
    """
    changes: dict[str, object] = settings.profile.model_dump(exclude_none=True)
    if "price" not in changes and settings.paths.prices is not None and settings.model is not None:
        price = _price(settings.paths.prices, settings.model)
        if price is not None:
            changes["price"] = price.model_dump()
    return changes


def _price(path: Path, spec: str) -> PriceSettings | None:
    name = spec.partition(":")[2].rpartition("@")[0] or spec.partition(":")[2]
    try:
        tables = _TABLES.validate_python(tomllib.loads(path.expanduser().read_text("utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"the price file {path} cannot be read: {error}") from error
    except ValidationError as error:
        where = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False))
        raise SettingsError(
            f"the price file {path}: {where}; a table has prompt, cached, completion, gpu_hour"
        ) from error
    found = (price for pattern, price in tables.items() if fnmatchcase(spec, pattern) or fnmatchcase(name, pattern))
    return next(found, None)
