"""Varies recorded arguments: other inputs of the same types, for calls that nobody wrote a test for.

Pure and deterministic: the same recorded arguments and seed give the same inputs in the same order. First those that
were recorded, then changes of one argument, then changes of those changes. A value keeps its type, and what is inside
a list keeps the types it had there. Type-aware mutation of seed inputs is that of EvalPlus (arXiv 2305.01210, section
2.2); here without a model's seeds and without a contract that says which inputs are meant.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, cast

from sandbox.base import digest_of

LONGEST = 2_000
"""Characters of the text of one call's arguments."""
_ROUNDS = 3
"""Changes of one input at once, at most."""

Values = tuple[tuple[Any, ...], dict[str, Any]]
"""Positional and named arguments."""


@dataclass(frozen=True)
class Arguments:
    """What a function is called with, as texts of literals (a tuple and a dict)."""

    owner: str | None
    """The arguments that a method's object is made with; None for what is no method of an object."""
    own: str


def read_values(text: str) -> Values | None:
    """The values that a text stands for. None for everything that is not a literal of a tuple and a dict."""
    if len(text) > LONGEST:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an escape such as \d, in a text that a script forged
            found: object = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    if not isinstance(found, tuple) or len(cast("tuple[object, ...]", found)) != 2:
        return None
    positional, named = cast("tuple[object, object]", found)
    if not isinstance(positional, tuple) or not isinstance(named, dict):
        return None
    if not all(isinstance(key, str) for key in cast("dict[object, object]", named)):
        return None
    return cast("Values", found)


def shown(name: str, arguments: Arguments) -> str:
    """A call as one would write it: `mean([1, 2])`, `Account(5).draw(3)`."""
    if arguments.owner is None:
        return name + _written(arguments.own)
    owner, _, method = name.rpartition(".")
    return f"{owner}{_written(arguments.owner)}.{method}{_written(arguments.own)}"


def _written(text: str) -> str:
    values = read_values(text)
    if values is None:
        return "(...)"
    parts = [*(repr(value) for value in values[0]), *(f"{key}={value!r}" for key, value in values[1].items())]
    return f"({', '.join(parts)})"


def varied(recorded: Sequence[Arguments], seed: int, most: int) -> tuple[Arguments, ...]:
    """At most `most` inputs, each once: the recorded ones, and then what they can be changed to.

    Recorded calls take turns, so that none of them fills the room alone. What cannot be read is left out.
    """
    kept: dict[Arguments, None] = {}
    layer = [one for one in dict.fromkeys(recorded) if _readable(one)]
    pools = _pools(layer)
    for one in layer[:most]:
        kept.setdefault(one)
    for _ in range(_ROUNDS):
        if len(kept) >= most or not layer:
            break
        queues = [_shuffled(list(_changed(one, pools)), seed) for one in layer]
        following: list[Arguments] = []
        for one in (one for row in zip_longest(*queues) for one in row if one is not None):
            if one not in kept and len(one.own) <= LONGEST and len(one.owner or "") <= LONGEST:
                following.append(one)
                kept.setdefault(one)
            if len(kept) >= most:
                break
        layer = following
    return tuple(kept)


_kind: Callable[[Any], Any] = type


def _readable(one: Arguments) -> bool:
    return read_values(one.own) is not None and (one.owner is None or read_values(one.owner) is not None)


def _shuffled(changes: list[Arguments], seed: int) -> list[Arguments]:
    return sorted(dict.fromkeys(changes), key=lambda one: digest_of(str(seed), one.owner or "", one.own))


_Place = tuple[int | str, str]
"""A parameter, by its position or name, and the name of the type of a value there."""


def _pools(recorded: Sequence[Arguments]) -> dict[_Place, list[Any]]:
    """What was recorded for each parameter: such a value fits another call's too."""
    pools: dict[_Place, dict[str, Any]] = {}
    for one in recorded:
        for place, value in _places(cast("Values", read_values(one.own))):
            pools.setdefault((place, _kind(value).__name__), {}).setdefault(repr(value), value)
    return {place: list(pool.values()) for place, pool in pools.items()}


def _places(values: Values) -> Iterator[tuple[int | str, Any]]:
    yield from enumerate(values[0])
    yield from values[1].items()


def _changed(one: Arguments, pools: dict[_Place, list[Any]]) -> Iterator[Arguments]:
    """Inputs that differ in one argument."""
    values = cast("Values", read_values(one.own))
    for place, value in _places(values):
        pool = pools.get((place, _kind(value).__name__), [])
        for other in [*changes_of(value), *(known for known in pool if repr(known) != repr(value))]:
            yield Arguments(one.owner, _with(values, place, other))
    if one.owner is not None:
        made_with = cast("Values", read_values(one.owner))
        for place, value in _places(made_with):
            for other in changes_of(value):
                yield Arguments(_with(made_with, place, other), one.own)


def _with(values: Values, place: int | str, other: Any) -> str:
    if isinstance(place, int):
        return repr(((*values[0][:place], other, *values[0][place + 1 :]), values[1]))
    return repr((values[0], {**values[1], place: other}))


def changes_of(value: Any) -> list[Any]:
    """Other values of exactly the same type, none equal to it; boundaries and small steps."""
    return [other for other in _changes(value, 0) if repr(other) != repr(value)]


def _changes(value: Any, depth: int) -> Iterator[Any]:
    kind = _kind(value)
    if kind is bool:
        yield not value
    elif kind is int:
        yield from (0, 1, -value, value + 1, value - 1, 2 * value, 10 * value)
    elif kind is float:
        yield from (one for one in (0.0, 1.0, -value, value + 0.5, value - 1.0, value / 2) if abs(one) != float("inf"))
    elif kind is str:
        yield from _texts(value)
    elif kind in (list, tuple):
        yield from (kind(one) for one in _sequences(list(value)))
        yield from (kind(one) for one in _inside(list(value), depth))
    elif kind is set and len(value) > 1:
        ordered = sorted(value, key=repr)
        yield from (set(ordered[:1]), set(ordered[1:]))
    elif kind is dict:
        yield {}
        for key in list(value)[:3]:
            yield {known: value[known] for known in value if known != key}
            if depth < 2:
                yield from ({**value, key: other} for other in list(_changes(value[key], depth + 1))[:4])


def _texts(value: str) -> Iterator[str]:
    middle = len(value) // 2
    yield from ("", value[:1], value[1:], value[:-1], value[::-1], value + value, value.upper(), value.lower())
    yield from (value.swapcase(), f" {value}", f"{value} ", value.replace(" ", "  "), f"{value}{value[:1]}")
    yield from (f"{value[:middle]} {value[middle:]}", f"{value[:middle]},{value[middle:]}", f"{value}.")
    yield from (value[:middle] + value[middle + 1 :], " ".join(reversed(value.split(" "))))
    if value.isalnum():
        yield from ("a", "0") if value.isalpha() else ("0", "1")


def _sequences(value: list[Any]) -> Iterator[list[Any]]:
    yield from ([], value[:1], value[1:], value[:-1], value[::-1], value + value, value[:1] + value, value + value[:1])
    yield value[-1:] + value[:-1]
    try:
        yield from (sorted(value), sorted(value, reverse=True))
    except TypeError:
        return


def _inside(value: list[Any], depth: int) -> Iterator[list[Any]]:
    """One element changed: at both ends and in the middle."""
    if depth >= 2:
        return
    for at in dict.fromkeys((0, len(value) // 2, len(value) - 1)):
        if 0 <= at < len(value):
            yield from ([*value[:at], other, *value[at + 1 :]] for other in _changes(value[at], depth + 1))
