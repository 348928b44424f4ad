"""Gives a definition that a model wrote the indentation of the place it goes to."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from tree_sitter import Node

from agent.edit.definitions import Definition
from agent.edit.matching import indent_of, with_spaces, with_tabs
from agent.edit.parse import python_tree


def dedented(text: str) -> str:
    """A block without the indentation of its first statement, as when a method was copied out of its class."""
    lines = text.split("\n")
    first = next((line for line in lines if line.strip() and not line.lstrip().startswith("#")), "")
    indent = indent_of(first)
    return "\n".join(line.removeprefix(indent) for line in lines) if indent else text


def placed(
    new: Definition, lines: Sequence[str], indent: str, old: Definition | None, file_lines: Sequence[str]
) -> list[str]:
    """The lines of `new` (in its block's `lines`), from decorators to end, indented by `indent`.

    Lines inside string literals are shifted with the rest where that gives a line that the old definition has, or
    in docstrings; others are data and stay as the model wrote them.
    """
    made = _in_file_style(list(lines), file_lines)
    own = indent_of(made[new.start])
    before: Sequence[str] = file_lines[old.start : old.stop] if old else ()
    if old and _only_header_is_off(new, made, indent, old, file_lines):
        head = [indent + line for line in made[new.start : new.body]]
        return head + made[new.body : new.stop]
    literal = _string_rows("\n".join(made))
    result: list[str] = []
    for number in range(new.start, new.stop):
        line = made[number]
        shifted = indent + line.removeprefix(own) if line.startswith(own) else line
        if not line.strip():
            # Blank lines inside a literal are data, elsewhere only white space.
            result.append(line if number in literal else "")
        elif number in literal and not literal[number] and (shifted not in before or line in before):
            result.append(line)
        else:
            result.append(shifted)
    return result


def _only_header_is_off(
    new: Definition, lines: Sequence[str], indent: str, old: Definition, file_lines: Sequence[str]
) -> bool:
    """Whether the model wrote `def` at the margin, but the body as deep as it stands in the class."""
    if new.body == new.head or old.body == old.head or not indent or indent_of(lines[new.head]):
        return False
    body = indent_of(lines[new.body])
    return body == indent_of(file_lines[old.body]) and body.startswith(indent) and body != indent


def _in_file_style(lines: list[str], file_lines: Sequence[str]) -> list[str]:
    """The lines with their indentation in the file's own characters, tabs or spaces."""
    tabs = sum(line.startswith("\t") for line in file_lines)
    spaces = sum(line.startswith("  ") for line in file_lines)
    literal = _string_rows("\n".join(lines))
    if tabs > spaces and any(line.startswith(" ") for line in lines):
        unit = indent_unit(lines)
        return [line if n in literal else with_tabs(line, unit) or line for n, line in enumerate(lines)]
    if spaces > tabs and any(line.startswith("\t") for line in lines):
        unit = indent_unit(file_lines)
        return [line if n in literal else with_spaces(line, unit) or line for n, line in enumerate(lines)]
    return lines


def indent_unit(lines: Sequence[str]) -> int:
    """Spaces of one level of indentation: the smallest that occurs after a line ending in a colon."""
    steps = [
        len(indent_of(after)) - len(indent_of(line))
        for line, after in itertools.pairwise(lines)
        if re.search(r":\s*(#.*)?$", line) and after.startswith(" ")
    ]
    return min((step for step in steps if step > 0), default=4)


def _string_rows(text: str) -> dict[int, bool]:
    """Lines that begin inside a string literal, and whether it stands alone as a statement (a docstring)."""
    rows: dict[int, bool] = {}
    pending: list[Node] = [python_tree(text.encode("utf-8", "replace")).root_node]
    while pending:
        node = pending.pop()
        if node.end_point[0] == node.start_point[0]:
            continue
        if node.type == "string":
            alone = node.parent is not None and node.parent.type == "expression_statement"
            rows.update(dict.fromkeys(range(node.start_point[0] + 1, node.end_point[0] + 1), alone))
        else:
            pending.extend(node.children)
    return rows
