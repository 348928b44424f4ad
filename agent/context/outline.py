"""What a file holds, without its bodies: symbols located by tree-sitter, outlines, and excerpts around some of them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache

import tree_sitter_python
from tree_sitter import Language, Node, Parser

_HEAD_LINES = 25


@dataclass(frozen=True)
class Symbol:
    """A function or a class; lines count from 0, `end` is the line after its last one."""

    name: str
    qualified: str
    """With the names of the classes and functions around it, such as `Cache.get`."""
    kind: str
    """`class` or `function`."""
    start: int
    body: int
    """The first line of its body; `start` to `body` is the signature."""
    end: int
    depth: int


@lru_cache(maxsize=1)
def _parser() -> Parser:
    return Parser(Language(tree_sitter_python.language()))


@lru_cache(maxsize=512)
def symbols(path: str, text: str) -> tuple[Symbol, ...]:
    """Functions and classes of a Python file in the order of their lines, however broken the rest of it is.

    Other languages have none here: their files are shown whole or by their head.
    """
    if not path.endswith((".py", ".pyi")):
        return ()
    root = _parser().parse(text.encode("utf-8", "surrogatepass")).root_node
    found: list[Symbol] = []
    waiting: list[tuple[Node, tuple[str, ...]]] = [(root, ())]
    while waiting:
        node, scope = waiting.pop()
        inner = scope
        if node.type in ("function_definition", "class_definition"):
            name_node, body = node.child_by_field_name("name"), node.child_by_field_name("body")
            if name_node is not None and name_node.text is not None and body is not None:
                name = name_node.text.decode("utf-8", "replace")
                parent = node.parent
                top = parent if parent is not None and parent.type == "decorated_definition" else node
                inner = (*scope, name)
                found.append(
                    Symbol(
                        name,
                        ".".join(inner),
                        "class" if node.type == "class_definition" else "function",
                        top.start_point.row,
                        max(body.start_point.row, node.start_point.row),
                        node.end_point.row + 1,
                        len(scope),
                    )
                )
        waiting.extend((child, inner) for child in reversed(node.children))
    return tuple(sorted(found, key=lambda symbol: (symbol.start, -symbol.end)))


def outline(path: str, text: str) -> str:
    """The signatures of a file's classes, functions and methods; the head of a file that has none."""
    lines = text.splitlines()
    kept: list[str] = []
    for symbol in symbols(path, text):
        if symbol.depth > 1:
            continue
        last = max(symbol.body, symbol.start + 1)
        kept += [line for line in lines[symbol.start : last] if not line.lstrip().startswith("#")]
    if kept:
        return "\n".join(kept)
    head = lines[:_HEAD_LINES]
    return "\n".join([*head, f"[{len(lines) - len(head)} more lines]"] if len(lines) > len(head) else head)


def names(path: str, text: str, limit: int = 40) -> str:
    """One line: the names of a file's classes with their methods, and of its functions."""
    top = [symbol for symbol in symbols(path, text) if symbol.depth == 0]
    parts: list[str] = []
    for symbol in top[:limit]:
        methods = [
            inner.name
            for inner in symbols(path, text)
            if inner.depth == 1 and symbol.start <= inner.start < symbol.end and not inner.name.startswith("__")
        ]
        if symbol.kind == "class":
            parts.append(f"class {symbol.name}" + (f"({', '.join(methods[:limit])})" if methods else ""))
        else:
            parts.append(symbol.name)
    if len(top) > limit:
        parts.append(f"and {len(top) - limit} more")
    return ", ".join(parts)


def excerpt(path: str, text: str, wanted: Collection[str]) -> str:
    """A file with the bodies of the wanted symbols (qualified names) only, signatures for the rest.

    Lines outside functions (imports, constants, class attributes) stay. What is left out is marked by `[...]`.
    """
    lines = text.splitlines()
    hidden = [False] * len(lines)
    found = symbols(path, text)
    for symbol in found:
        if symbol.kind == "function" and not _shown(symbol, found, wanted):
            first = max(symbol.body, symbol.start + 1)
            hidden[first : symbol.end] = [True] * (min(symbol.end, len(lines)) - first)
    if not found:  # another language: its head stands for it
        hidden[_HEAD_LINES * 4 :] = [True] * max(0, len(lines) - _HEAD_LINES * 4)
    kept: list[str] = []
    for number, line in enumerate(lines):
        if not hidden[number]:
            kept.append(line)
        elif number == 0 or not hidden[number - 1]:
            kept.append(f"{line[: len(line) - len(line.lstrip())]}[...]")
    return "\n".join(kept)


def _shown(symbol: Symbol, found: tuple[Symbol, ...], wanted: Collection[str]) -> bool:
    """Wanted itself, inside something wanted, or around something wanted."""
    return any(
        other.qualified in wanted
        and (
            (other.start <= symbol.start and symbol.end <= other.end)
            or (symbol.start <= other.start and other.end <= symbol.end)
        )
        for other in found
    )
