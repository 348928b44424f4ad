"""Short ways to write trees and read edits."""

from agent.edit import Edited, EditProblem, read_edit
from sandbox.base import RepoPath, Tree


def tree_of(**files: str | bytes) -> Tree:
    """A tree; `pkg__mod_py` names pkg/mod.py."""
    return {
        RepoPath(name.replace("__", "/").replace("_py", ".py")): text.encode() if isinstance(text, str) else text
        for name, text in files.items()
    }


def one(content: str | bytes, path: str = "mod.py") -> Tree:
    return {RepoPath(path): content.encode() if isinstance(content, str) else content}


def python(code: str, before: str = "") -> str:
    return f"{before}\n```python\n{code}\n```\n"


def symbol(text: str, tree: Tree, shown: list[str] | None = None) -> dict[str, bytes | None]:
    """The changes of an edit by definitions that must be taken."""
    result = read_edit(text, tree, [RepoPath(path) for path in (shown if shown is not None else tree)], "symbol")
    assert isinstance(result, Edited), result.message
    return {str(path): content for path, content in result.changes.items()}


def edited(text: str, tree: Tree) -> bytes:
    """The one changed file's new content."""
    (content,) = symbol(text, tree).values()
    assert content is not None
    return content


def blocks(text: str, tree: Tree, shown: list[str] | None = None) -> dict[str, bytes | None]:
    """The changes of an edit by search/replace blocks that must be taken."""
    names = [RepoPath(path) for path in (shown if shown is not None else tree)]
    result = read_edit(text, tree, names, "search_replace")
    assert isinstance(result, Edited), result.message
    return {str(path): content for path, content in result.changes.items()}


def problem(text: str, tree: Tree, format: str = "symbol", shown: list[str] | None = None) -> str:
    """The message of an edit that must not be taken."""
    names = [RepoPath(path) for path in (shown if shown is not None else tree)]
    result = read_edit(text, tree, names, "symbol" if format == "symbol" else "search_replace")
    assert isinstance(result, EditProblem), result
    assert len(result.message) <= 2_000
    return result.message


def block(search: str, replacement: str, path: str = "mod.py", length: int = 7) -> str:
    """A block; each part is given with its final newline, or empty."""
    return f"{path}\n{'<' * length} SEARCH\n{search}{'=' * length}\n{replacement}{'>' * length} REPLACE\n"
