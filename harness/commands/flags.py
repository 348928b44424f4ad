"""Flags as the settings tree has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from harness.errors import SettingsError
from harness.units import read_budget


def nested(given: Mapping[str, object], budget: str | None) -> dict[str, object]:
    """`{"environment.python": "3.11"}` -> `{"environment": {"python": "3.11"}}`; flags that were not given left out.

    Raises SettingsError when the budget cannot be read.
    """
    tree: dict[str, object] = {}
    for name, value in given.items():
        if value is None or value == []:
            continue
        section, _, key = name.rpartition(".")
        inner = cast("dict[str, object]", tree.setdefault(section, {})) if section else tree
        inner[key] = tuple(cast("list[object]", value)) if isinstance(value, list) else value
    if budget is not None:
        try:
            tree["budget"] = read_budget(budget)
        except ValueError as error:
            raise SettingsError(f"--budget: {error}") from None
    return tree
