"""Syntax checks: a file that parsed before an edit must parse after it.

Python's own compiler decides, of the version that runs us. Where it does not accept the file as it was before
(the repository is written for an older or newer Python), the grammar of tree-sitter decides.
"""

from __future__ import annotations

import json
import re
import tomllib
import warnings
from functools import lru_cache

import tree_sitter_python
from tree_sitter import Language, Node, Parser
from tree_sitter import Tree as SyntaxTree

_LANGUAGE = Language(tree_sitter_python.language())
_NEWER = {"type_alias_statement", "type_parameter"}
"""Syntax that Python got after 3.11, the oldest that runs us."""


@lru_cache(maxsize=128)
def python_tree(source: bytes) -> SyntaxTree:
    """The syntax tree of Python source; never fails, errors are nodes in it."""
    return Parser(_LANGUAGE).parse(source)


def check_syntax(path: str, before: bytes | None, after: bytes) -> str | None:
    """What is wrong with `after`, quoting the line, or None. `before` is None for a new file.

    Files of languages that are not checked, and those that did not parse before, are never wrong.
    """
    if path.endswith((".py", ".pyi")):
        complaint = python_error(after)
        if complaint is None or (before is not None and _tolerated(before, after)) or _newer_syntax(before, after):
            return None
        return complaint
    checks = {".json": _json, ".ipynb": _json, ".toml": _toml}
    check = next((check for suffix, check in checks.items() if path.endswith(suffix)), None)
    if check is None or (before is not None and check(before) is not None):
        return None
    return check(after)


def python_error(source: bytes) -> str | None:
    """What the compiler says of the source. It is only compiled, never run."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(source, "<edited>", "exec", dont_inherit=True)
    except SyntaxError as error:
        return _quoted(source, error.lineno, f"{error.msg}")
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:
        return f"not Python: {error}"
    return None


def _tolerated(before: bytes, after: bytes) -> bool:
    if python_error(before) is None:
        return False
    return errors_in(python_tree(after).root_node) <= errors_in(python_tree(before).root_node)


def _newer_syntax(before: bytes | None, after: bytes) -> bool:
    """Whether the edit brings in syntax that our own interpreter may be too old for."""
    tree = python_tree(after)
    if tree.root_node.has_error:
        return False
    kinds = _kinds(tree.root_node) - (_kinds(python_tree(before).root_node) if before is not None else set[str]())
    return bool(kinds & _NEWER)


def _kinds(node: Node) -> set[str]:
    found: set[str] = set()
    pending = [node]
    while pending:
        here = pending.pop()
        # `type_parameter` is also what subscripted types are called; only those of definitions are new.
        if here.type != "type_parameter" or (here.parent and here.parent.type.endswith("_definition")):
            found.add(here.type)
        pending.extend(here.children)
    return found


def errors_in(node: Node) -> int:
    """Number of erroneous and missing nodes."""
    total = 0
    pending = [node]
    while pending:
        here = pending.pop()
        total += here.is_error or here.is_missing
        if here.has_error:
            pending.extend(here.children)
    return total


def first_error(source: bytes) -> str | None:
    """The first error in a piece of Python, quoting the line; None when it parses."""
    root = python_tree(source).root_node
    if not root.has_error:
        return None
    said = python_error(source)
    if said is not None:
        return said
    pending = [root]
    while pending:
        here = pending.pop()
        if here.is_error or here.is_missing:
            return _quoted(source, here.start_point[0] + 1, "invalid syntax")
        pending.extend(child for child in reversed(here.children) if child.has_error or child.is_missing)
    return None


def _json(content: bytes) -> str | None:
    try:
        json.loads(content)
    except json.JSONDecodeError as error:
        return _quoted(content, error.lineno, error.msg)
    except (ValueError, RecursionError) as error:
        return f"not JSON: {error}"
    return None


def _toml(content: bytes) -> str | None:
    try:
        tomllib.loads(content.decode("utf-8").replace("\r\n", "\n"))
    except (ValueError, RecursionError) as error:
        number = re.search(r"at line (\d+)", str(error))
        return _quoted(content, int(number[1]) if number else None, str(error))
    return None


def _quoted(content: bytes, line: int | None, what: str) -> str:
    lines = content.decode("utf-8", "replace").split("\n")
    if line is None or not 1 <= line <= len(lines):
        return what
    return f"{what}, at line {line}: {lines[line - 1].strip()[:160]!r}"
