"""Reads the edit in a model's answer: what becomes of which file, or a problem that is told to the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from agent.edit.parse import check_syntax
from agent.edit.placing import place_blocks
from agent.edit.search_replace import has_block, parse_blocks
from agent.edit.symbol import read_symbols
from agent.edit.values import Edited, EditProblem, EditResult, first_problems
from sandbox.base import Changes, RepoPath, Tree

__all__ = ["EditProblem", "EditResult", "Edited", "read_edit"]


def read_edit(
    text: str, tree: Tree, shown: Sequence[RepoPath], format: Literal["symbol", "search_replace"]
) -> EditResult:
    """Read the edit in a model's answer against the unedited tree. Never raises, whatever the answer says.

    `shown` are the files that the model saw. The format asked for is tried first; search/replace blocks are taken
    in the symbol format too, and whole definitions in the other one where no block is found. An edit is all or
    nothing: it changes something, stays in the repository, and every file that parsed before still parses.
    """
    changes = _read(text, tree, shown, format)
    return changes if isinstance(changes, EditProblem) else _checked(changes, tree)


def _read(text: str, tree: Tree, shown: Sequence[RepoPath], format: str) -> Changes | EditProblem:
    if has_block(text):
        blocks = parse_blocks(text, tree)
        return blocks if isinstance(blocks, EditProblem) else place_blocks(blocks, tree, shown)
    symbols = read_symbols(text, tree, shown)
    if format == "search_replace" and isinstance(symbols, EditProblem) and "```" not in text:
        blocks = parse_blocks(text, tree)
        return blocks if isinstance(blocks, EditProblem) else symbols
    return symbols


def _checked(changes: Changes, tree: Tree) -> EditResult:
    real = {path: content for path, content in changes.items() if content != tree.get(path)}
    if not real:
        return EditProblem(
            "The edit changes nothing: what you wrote is the same as what is there. The issue is still present. Find "
            "the line that causes it and write that differently."
        )
    problems = [
        EditProblem(f"After the edit `{path}` does not parse: {complaint}. Nothing was changed. Write the edit again.")
        for path, content in real.items()
        if content is not None and (complaint := check_syntax(path, tree.get(path), content))
    ]
    return first_problems(problems) if problems else Edited(real)
