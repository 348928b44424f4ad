"""A diff as a judge of candidates reads it: without what a candidate says of itself.

Left out are git's index lines and, in added and removed lines of Python, comments and statements that are only a
string: docstrings, and strings that nobody uses. All other string literals stay, for they are behaviour. Only display:
what is executed is the whole patch.
"""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator

from tree_sitter import Node

from agent.edit.parse import python_error, python_tree
from agent.edit.patched import apply_in_memory
from sandbox.base import Patch, Tree

_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_SECTION = re.compile(r"^(?=diff --git )", re.MULTILINE)
_SAID = b"\0"
"""Stands where something was left out; Python source cannot hold it."""
_SIDES = {"-": "-", "+": "+", " ": "-+", "": "-+"}
"""Which side's lines a line of a hunk counts as; one that lost its space is a blank one of both."""

Lines = list[str | None]
"""A file's lines as they are shown; None where nothing is left of one."""


def plain_diff(diff: str, tree: Tree | None = None) -> str:
    """The diff for reading. `tree`: the unedited files. A part that cannot be applied to them in memory, or whose file
    is no clear Python, loses only the comments that a line shows by itself."""
    return "\n".join(line for part in _SECTION.split(diff) if part for line in _part(part, tree or {}))


def _part(part: str, tree: Tree) -> Iterator[str]:
    """The lines of one file's part of a diff. The counts of a hunk, not its text, say where it ends."""
    lines = part.removesuffix("\n").split("\n")
    python = lines[0].rstrip('"').endswith((".py", ".pyi"))
    sides = _sides(part, tree) if python else {}
    at, left, moved = {"-": 0, "+": 0}, {"-": 0, "+": 0}, 0
    for line in lines:
        sign, shown = line[:1], line[1:]
        if not any(left.values()):
            if hunk := _HUNK.match(line):
                left = {"-": int(hunk[2] or 1), "+": int(hunk[4] or 1)}
                # Where the new lines begin follows from the old ones, as for who applies it; what is said may be wrong.
                start = int(hunk[1]) - bool(left["-"])
                at = {"-": start, "+": start + moved}
                moved += left["+"] - left["-"]
            if not line.startswith(("index ", "similarity ", "dissimilarity ")):
                yield line
            continue
        if python and sign in at:
            side = sides.get(sign)
            shown = side[at[sign]] if side else _without_comment(shown)
        for one in _SIDES.get(sign, ""):
            at[one], left[one] = at[one] + 1, max(0, left[one] - 1)
        if shown is not None:
            yield sign + shown


def _sides(part: str, tree: Tree) -> dict[str, Lines | None]:
    """The lines to show of the file before ("-") and after it ("+"); None where that is not sure."""
    files = apply_in_memory(Patch(part), tree)
    if not files:
        return {}
    return {"-": _lines(tree.get(files[0].path, b"")), "+": _lines(files[0].content or b"")}


def _lines(content: bytes) -> Lines | None:
    root = python_tree(content).root_node
    # As for equivalence: where tokenizers may disagree, nothing is cut, lest code is hidden.
    unclear = b"\r" in content.replace(b"\r\n", b"") or b"\f" in content
    if unclear or root.has_error or python_error(content) is not None:
        return None
    kept, last = bytearray(), 0
    for start, end in _said(root):
        marked = re.sub(rb"[^\n]", _SAID, content[start:end]).replace(b"\n", _SAID + b"\n")
        kept += content[last:start] + marked
        last = end
    kept += content[last:]
    return [_left(line) for line in kept.split(b"\n")]


def _left(line: bytes | bytearray) -> str | None:
    text = line.replace(_SAID, b"").decode("utf-8", "replace")
    if _SAID not in line:
        return text
    return text.rstrip() or None


def _said(root: Node) -> list[tuple[int, int]]:
    """Where comments and string statements are, in bytes, in order. A stack, for expressions can nest deep."""
    found: list[tuple[int, int]] = []
    pending = [root]
    while pending:
        node = pending.pop()
        if node.type == "comment" or (node.type == "expression_statement" and _only_a_string(node)):
            found.append((node.start_byte, node.end_byte))
        else:
            pending.extend(node.children)
    return sorted(found)


def _only_a_string(node: Node) -> bool:
    """Whether a statement is a string literal, in brackets or not; one that formats executes something."""
    while node.type in ("expression_statement", "parenthesized_expression"):
        inner = [child for child in node.named_children if child.type != "comment"]
        if len(inner) != 1 or any(child.type == "," for child in node.children):
            return False
        node = inner[0]
    parts = node.children if node.type == "concatenated_string" else [node]
    return all(
        part.type in ("string", "comment") and not any(c.type == "interpolation" for c in part.children)
        for part in parts
    )


def _without_comment(line: str) -> str | None:
    """A line without the comment at its end; None where nothing else is in it."""
    code = line
    try:
        for token in tokenize.generate_tokens(io.StringIO(line.lstrip()).readline):
            if token.type == tokenize.COMMENT:
                code = line[: len(line) - len(line.lstrip()) + token.start[1]].rstrip()
    except (tokenize.TokenError, SyntaxError):
        pass  # part of something that goes on in other lines
    return None if line.strip() and not code else code
