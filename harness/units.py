"""Reads quantities as people write them: `200k` tokens, `4g` of memory, `1h30m`, a budget `tokens=200k,wall=30m`; and
writes money so."""

from __future__ import annotations

import re

_DECIMAL = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
_BINARY = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_TIME = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_NUMBER = r"(\d+(?:\.\d+)?)"

BUDGET_KEYS = {"tokens": "tokens", "money": "money", "model": "model_seconds", "wall": "wall_seconds"}
"""What `--budget` calls the limits -> their names in the settings."""


def read_count(value: object) -> object:
    """`200k`, `1.5M` -> int. Other types pass through for pydantic to judge. Raises ValueError."""
    return _scaled(value, _DECIMAL, "a number such as 200000, 200k or 1.5M")


def read_bytes(value: object) -> object:
    """`512m`, `4g`, `4GiB` -> bytes, by powers of 1024. Raises ValueError."""
    if isinstance(value, str):
        value = re.sub(r"(?i)i?b$", "", value.strip())
    return _scaled(value, _BINARY, "a size such as 512m or 4g")


def read_seconds(value: object) -> object:
    """`90`, `90s`, `30m`, `1h30m` -> seconds. Raises ValueError."""
    if not isinstance(value, str):
        return value
    text = value.strip().lower()
    if re.fullmatch(_NUMBER, text):
        return float(text)
    if not re.fullmatch(rf"(?:{_NUMBER}[dhms]\s*)+", text):
        raise ValueError(f"{value!r} is no duration; write seconds, or such as 90s, 30m, 1h30m")
    return sum(float(number) * _TIME[unit] for number, unit in re.findall(rf"{_NUMBER}([dhms])", text))


def read_budget(text: str) -> dict[str, str]:
    """`tokens=200k,money=2,wall=30m` -> the budget section's keys and unread values. Raises ValueError."""
    budget: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = part.partition("=")
        key = BUDGET_KEYS.get(name.strip())
        if not equals or key is None or not value.strip():
            known = ", ".join(f"{key}=..." for key in BUDGET_KEYS)
            raise ValueError(f"cannot read {part!r} in the budget; write some of {known}, separated by commas")
        if key in budget:
            raise ValueError(f"the budget names {name.strip()} twice")
        budget[key] = value.strip()
    if not budget:
        raise ValueError("the budget is empty; write it such as tokens=200k,money=2,wall=30m")
    return budget


def money(value: float) -> str:
    """US dollars: cents where they say something, more digits for less than a cent."""
    if value == 0:
        return "$0"
    return f"${value:.2f}" if value >= 0.1 else f"${value:.4f}"


def _scaled(value: object, units: dict[str, int], wanted: str) -> object:
    if not isinstance(value, str):
        return value
    match = re.fullmatch(rf"{_NUMBER}\s*([a-z]?)", value.strip().lower().replace("_", ""))
    if not match or match[2] not in units:
        raise ValueError(f"{value!r} is not {wanted}")
    return round(float(match[1]) * units[match[2]])
