"""Finds the definitions of Python source: functions, classes, methods and assignments, with the lines they take.

Works on erroneous source too: tree-sitter finds what it can. Line numbers are 0-based; `stop` is exclusive.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from tree_sitter import Node

from agent.edit.lines import Line, split_lines
from agent.edit.parse import python_tree

Kind = Literal["function", "class", "assignment", "import", "other"]

_BRANCHES = {"if_statement", "try_statement", "with_statement", "for_statement", "while_statement"}
_ACCESSOR = re.compile(r"\.(setter|getter|deleter)\s*$")


@dataclass(frozen=True)
class Definition:
    """A definition (or, between definitions, any other statement) and the lines it takes."""

    kind: Kind
    name: str
    """Dotted, from the module on: `Class.method`, `outer.inner`. Empty for imports and other statements."""
    role: str
    """Tells definitions of one name apart: `setter`, `overload 2`, ...; "" for most."""
    start: int
    """First line, that of the first decorator."""
    head: int
    """Line of `def` or `class`; equal to `start` without decorators."""
    body: int
    """Line of the first statement of the body; equal to `head` for what stands on one line."""
    stop: int
    alone: bool
    """No other statement shares its lines."""
    broken: bool
    """There is a syntax error inside."""
    parameters: str
    """The text of a function's parameters or a class's bases, without white space."""
    names: frozenset[str]
    """Every identifier in it; for an import, the names it binds."""
    inner: tuple[Definition, ...] = ()
    """What a class holds, or the functions inside a function."""
    trivial: bool = False
    """The body is nothing but a docstring, `pass` or `...`."""
    ellipses: int = 0
    """Number of statements in it that are a bare `...`."""
    column: int = 0
    """Width of its indentation, in characters."""

    @property
    def last_name(self) -> str:
        return self.name.rpartition(".")[2]

    @property
    def key(self) -> tuple[str, str]:
        return self.name, self.role


@lru_cache(maxsize=256)
def outline(text: str) -> tuple[Definition, ...]:
    """The statements of a module in order, with what classes and functions hold. `text` has LF or CRLF endings."""
    source = text.encode("utf-8", "surrogateescape" if _escapes(text) else "replace")
    reader = _Reader(split_lines(text))
    return tuple(reader.statements(python_tree(source).root_node, ""))


def _escapes(text: str) -> bool:
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def walk(definitions: Sequence[Definition]) -> Iterator[Definition]:
    """Every definition, outer ones before what they hold; imports and other statements left out."""
    for item in definitions:
        if item.name:
            yield item
        yield from walk(item.inner)


class _Reader:
    """Turns syntax nodes into definitions; keeps the lines for ranges and the count of equal names for roles."""

    def __init__(self, lines: list[Line]) -> None:
        self._lines = [line.text for line in lines]
        self._overloads: dict[str, int] = {}

    def statements(self, parent: Node, prefix: str) -> list[Definition]:
        found: list[Definition] = []
        for node in parent.named_children:
            if node.type == "comment":
                continue
            if node.type in _BRANCHES or node.is_error:
                found.append(self._plain(node, "other", "", (), tuple(self._branches(node, prefix))))
            else:
                found.extend(self._statement(node, prefix))
        return found

    def _branches(self, node: Node, prefix: str) -> Iterator[Definition]:
        """The definitions inside `if`, `try` and the like, which belong to the scope around."""
        for child in node.named_children:
            if child.type in {"block", "else_clause", "elif_clause", "except_clause", "finally_clause", "with_clause"}:
                yield from self.statements(child, prefix) if child.type == "block" else self._branches(child, prefix)
            elif child.type in _BRANCHES:
                yield from self._branches(child, prefix)
            elif child.type in {"function_definition", "class_definition", "decorated_definition"}:
                yield from self._statement(child, prefix)

    def _statement(self, node: Node, prefix: str) -> Iterator[Definition]:
        inner = node.child_by_field_name("definition") if node.type == "decorated_definition" else node
        if inner is not None and inner.type in {"function_definition", "class_definition"}:
            yield self._definition(node, inner, prefix)
        elif node.type in {"import_statement", "import_from_statement", "future_import_statement"}:
            yield self._plain(node, "import", "", _bound(node))
        elif (target := _assigned(node)) is not None:
            yield self._plain(node, "assignment", prefix + target, ())
        else:
            yield self._plain(node, "other", "", ())

    def _plain(
        self, node: Node, kind: Kind, name: str, bound: tuple[str, ...], inner: tuple[Definition, ...] = ()
    ) -> Definition:
        start, stop = node.start_point[0], _end_row(node) + 1
        names = frozenset(bound) if kind == "import" else _identifiers(node)
        alone = self._alone(node, start, stop)
        return Definition(
            kind,
            name,
            "",
            start,
            start,
            start,
            stop,
            alone,
            node.has_error,
            "",
            names,
            inner,
            column=node.start_point[1],
        )

    def _alone(self, node: Node, start: int, stop: int) -> bool:
        before = self._lines[start].encode("utf-8", "replace")[: node.start_point[1]]
        after = node.next_named_sibling
        shared = after is not None and after.type != "comment" and after.start_point[0] < stop
        return not before.strip() and not shared

    def _definition(self, node: Node, inner: Node, prefix: str) -> Definition:
        name = prefix + _text(inner.child_by_field_name("name"))
        body = inner.child_by_field_name("body")
        statements = [child for child in body.named_children if child.type != "comment"] if body else []
        first = statements[0].start_point[0] if statements else inner.start_point[0]
        kind: Kind = "class" if inner.type == "class_definition" else "function"
        signature = inner.child_by_field_name("superclasses" if kind == "class" else "parameters")
        held = self.statements(body, name + ".") if body else []
        if kind == "function":
            held = [item for item in walk(held) if item.kind in {"function", "class"}]
        stop = self._with_trailing_comments(_end_row(node) + 1, node.start_point[1])
        return Definition(
            kind,
            name,
            self._role(node, inner, name),
            node.start_point[0],
            inner.start_point[0],
            first,
            stop,
            self._alone(node, node.start_point[0], _end_row(node) + 1),
            node.has_error,
            "".join(_text(signature).split()) if signature else "",
            _identifiers(node),
            tuple(held),
            trivial=all(_is_filler(child) for child in statements),
            ellipses=sum(
                1 for child in _descend(inner) if child.type == "expression_statement" and _text(child) == "..."
            ),
            column=node.start_point[1],
        )

    def _with_trailing_comments(self, stop: int, column: int) -> int:
        """Comments after the body that are indented like it belong to the definition."""
        number = stop
        while number < len(self._lines):
            line = self._lines[number]
            stripped = line.lstrip(" \t")
            if stripped.startswith("#") and len(line) - len(stripped) > column:
                stop = number + 1
            elif stripped:
                break
            number += 1
        return stop

    def _role(self, node: Node, inner: Node, name: str) -> str:
        decorators = [_text(child).lstrip("@").strip() for child in node.named_children if child.type == "decorator"]
        short = name.rpartition(".")[2]
        for text in decorators:
            accessor = _ACCESSOR.search(text)
            if accessor and text.startswith(short):
                return accessor[1]
            if text.split("(")[0].rpartition(".")[2] in {"overload", "register"}:
                self._overloads[name] = self._overloads.get(name, 0) + 1
                return f"{text.split('(')[0]} {self._overloads[name]}"
        return ""


def _end_row(node: Node) -> int:
    # A node that ends at column 0 ends with the line before.
    row, column = node.end_point
    return row - 1 if column == 0 and row > node.start_point[0] else row


def _text(node: Node | None) -> str:
    return node.text.decode("utf-8", "replace") if node is not None and node.text is not None else ""


def _descend(node: Node) -> Iterator[Node]:
    pending = [node]
    while pending:
        here = pending.pop()
        yield here
        pending.extend(here.named_children)


def _identifiers(node: Node) -> frozenset[str]:
    return frozenset(_text(child) for child in _descend(node) if child.type == "identifier")


def _is_filler(node: Node) -> bool:
    if node.type == "pass_statement":
        return True
    return (
        node.type == "expression_statement"
        and bool(node.named_children)
        and (node.named_children[0].type in {"string", "ellipsis", "concatenated_string"})
    )


def _assigned(node: Node) -> str | None:
    """The one plain name that a statement assigns."""
    if node.type == "type_alias_statement":
        return _text(node.named_children[0]) if node.named_children else None
    if node.type != "expression_statement" or len(node.named_children) != 1:
        return None
    left = node.named_children[0].child_by_field_name("left")
    if node.named_children[0].type != "assignment" or left is None or left.type != "identifier":
        return None
    return _text(left)


def _bound(node: Node) -> tuple[str, ...]:
    """The names an import binds; `*` for a star."""
    names: list[str] = []
    for child in node.children_by_field_name("name"):
        if child.type == "aliased_import":
            names.append(_text(child.child_by_field_name("alias")))
        else:
            text = _text(child)
            names.append(text.split(".")[0] if node.type == "import_statement" else text)
    if any(child.type == "wildcard_import" for child in node.named_children):
        names.append("*")
    return tuple(names)
