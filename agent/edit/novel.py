"""What a model writes that the repository does not have: helpers, tests, examples, new files, wrong names."""

from __future__ import annotations

import re
from collections.abc import Sequence

from agent.edit.definitions import Definition, walk
from agent.edit.locate import definitions_of
from agent.edit.paths import alike
from agent.edit.values import EditProblem
from sandbox.base import RepoPath, Tree

_TEST_NAME = re.compile(r"^(?:test_|Test[A-Z_]|main$|check_solution$|run_tests?$)")
_PLACEHOLDER = re.compile(r"(^|/)(main|example|solution|file|script|test|your_\w+)\.py$")


def is_code(item: Definition) -> bool:
    """Whether it is a function or a class."""
    return item.kind in {"function", "class"}


def is_test(item: Definition) -> bool:
    """Whether its name says that it only tries the code out. What the repository has already is kept all the same."""
    return bool(_TEST_NAME.match(item.name)) or item.parameters.endswith("TestCase)")


def may_be_made(path: RepoPath, tree: Tree) -> bool:
    """Whether a Python file that is named, but not there, is meant as a new one."""
    parent = path.rpartition("/")[0]
    known = not parent or any(other.startswith(f"{parent}/") for other in tree)
    named = path not in tree and path.endswith(".py") and not _PLACEHOLDER.search(path)
    return named and known and not alike(path, tree)


def unknown(wanted: Sequence[Definition], named: RepoPath | None, shown: Sequence[RepoPath], tree: Tree) -> EditProblem:
    """Says that no file has these definitions, and which ones there are."""
    names = ", ".join(f"`{item.name}`" for item in wanted[:5]) or "nothing"
    there = "\n".join(_names([named] if named and named in tree else shown, tree)) or "none"
    missing = f" There is no file `{named}`." if named and named not in tree else ""
    return EditProblem(
        f"The code defines {names}, which none of the files has.{missing} Keep the names as they are, and write what "
        f"is new beside a definition that exists. The definitions shown to you are:\n{there}"
    )


def _names(files: Sequence[RepoPath], tree: Tree, most: int = 40) -> list[str]:
    listed: list[str] = []
    for path in files:
        names = [item.name for item in walk(definitions_of(path, tree)) if is_code(item)]
        if names:
            more = ", ..." if len(names) > most else ""
            listed.append(f"`{path}`: {', '.join(names[:most])}{more}")
    return listed
