"""Adds the imports that replaced code needs and its file lacks."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from agent.edit.definitions import Definition, walk
from agent.edit.merge import FileEdit, Splice


def add_imports(edit: FileEdit, imports: Sequence[tuple[Definition, Sequence[str]]], used: frozenset[str]) -> None:
    """Add those names of the model's import statements that its code uses and the file does not bind at its top."""
    bound = {name for item in _top_level(edit.definitions) for name in ([item.name] if item.name else item.names)}
    module = edit.path.rsplit("/", 1)[-1].rsplit(".", 1)[0]
    text = "\n".join(edit.texts)
    added: list[str] = []
    for item, lines in imports:
        for statement in _parsed("\n".join(lines[item.start : item.stop])):
            for alias in statement.names:
                name = alias.asname or alias.name.split(".")[0]
                dotted = isinstance(statement, ast.Import) and "." in alias.name and alias.name not in text
                if name not in used or (name in bound and not dotted):
                    continue
                if isinstance(statement, ast.ImportFrom) and (statement.module or "").rsplit(".", 1)[-1] == module:
                    continue  # the model imports from the very file that it edits
                statement_text = ast.unparse(_only(statement, alias))
                if statement_text not in added:
                    added.append(statement_text)
    if added:
        edit.splices.append(_placed(edit, added))


def _top_level(definitions: Sequence[Definition]) -> list[Definition]:
    """What a module binds or imports outside functions and classes, `if` and `try` included."""
    found: list[Definition] = []
    for item in definitions:
        found.append(item)
        if item.kind == "other":
            found.extend(walk(item.inner))
            found.extend(inner for inner in item.inner if inner.kind == "import")
    return found


def _parsed(text: str) -> list[ast.Import | ast.ImportFrom]:
    try:
        body = ast.parse(text.strip()).body
    except (SyntaxError, ValueError):
        return []
    return [item for item in body if isinstance(item, ast.Import | ast.ImportFrom)]


def _only(statement: ast.Import | ast.ImportFrom, alias: ast.alias) -> ast.stmt:
    if isinstance(statement, ast.Import):
        return ast.Import([alias])
    return ast.ImportFrom(statement.module, [alias], statement.level)


def _placed(edit: FileEdit, added: list[str]) -> Splice:
    """After the last import that stands before the first definition; else after the module's docstring and comments."""
    future = [text for text in added if text.startswith("from __future__")]
    ordered = [*future, *(text for text in added if text not in future)]
    first = next((item.start for item in edit.definitions if item.kind in {"function", "class"}), len(edit.texts))
    last = [item for item in edit.definitions if item.kind == "import" and item.start < first and item.alone]
    if last and not future:
        return Splice(last[-1].stop, last[-1].stop, tuple(ordered))
    at = 0
    while at < len(edit.texts) and edit.texts[at].startswith("#"):
        at += 1
    docstring = edit.definitions[0] if edit.definitions and edit.definitions[0].kind == "other" else None
    if docstring and edit.texts[docstring.start].lstrip("rRuU").startswith(('"', "'")):
        at = docstring.stop
        return Splice(at, at, ("", *ordered))
    blank = at < len(edit.texts) and bool(edit.texts[at].strip()) and not last
    return Splice(at, at, (*ordered, *([""] * 2 if blank else [])))
