"""Calls written in the issue's text: `mean([1, 2])` is an input, whatever stands around it.

An example (`agent.examples`) says what comes of a call; to probe, the call alone is enough.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator

from selection.mutations import LONGEST, Arguments

MOST = 32
"""Calls of one function that are read from a text."""
_ENDS = 40
"""Closing brackets that are tried as the end of one call."""


def calls_in(text: str, function: str) -> tuple[Arguments, ...]:
    """The calls of a function of that name with literal arguments, in their order, each once. The text is data: it is
    parsed, never evaluated as code."""
    found: dict[Arguments, None] = {}
    for match in re.finditer(rf"(?<![\w]){re.escape(function)}\(", text):
        given = _call(text[match.start() : match.start() + LONGEST])
        if given is not None:
            found.setdefault(given)
        if len(found) >= MOST:
            break
    return tuple(found)


def _call(text: str) -> Arguments | None:
    """The call that a text begins with, up to the first closing bracket that makes an expression of it."""
    for end in _closing(text):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # an escape such as \d
                node = ast.parse(text[:end], mode="eval").body
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            continue
        return _arguments(node) if isinstance(node, ast.Call) else None
    return None


def _closing(text: str) -> Iterator[int]:
    for number, match in enumerate(re.finditer(r"\)", text)):
        if number >= _ENDS:
            return
        yield match.end()


def _arguments(node: ast.Call) -> Arguments | None:
    try:
        positional = tuple(ast.literal_eval(value) for value in node.args)
        named = {keyword.arg: ast.literal_eval(keyword.value) for keyword in node.keywords if keyword.arg}
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
    if len(named) < len(node.keywords):
        return None
    own = repr((positional, named))
    return Arguments(None, own) if len(own) <= LONGEST else None
