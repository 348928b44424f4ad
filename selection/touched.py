"""Which functions of the unedited tree the patches of classes touch: those whose source differs after a patch.

Covered are top-level functions and the methods of classes, in Python files that are no tests. A function that only a
patch defines cannot be called on the other trees, and one inside another function counts as that one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from agent.edit.definitions import Definition, outline
from agent.edit.patched import apply_in_memory
from sandbox.base import Patch, RepoPath, Tree
from selection.repository_tests import is_test_file


@dataclass(frozen=True, order=True)
class FunctionId:
    """A function or method of the repository."""

    path: RepoPath
    name: str
    """Qualified: `function` or `Class.method`."""


def touched_functions(patches: Iterable[Patch], tree: Tree) -> tuple[FunctionId, ...]:
    """The functions that any of the patches changes or removes, each once, in their order.

    What cannot be applied in memory (renames, binary files) touches none.
    """
    found: dict[FunctionId, None] = {}
    for patch in patches:
        for file in apply_in_memory(patch, tree) or ():
            if not file.path.endswith(".py") or is_test_file(file.path) or file.path not in tree:
                continue
            after = functions_of(file.content or b"")
            for name, source in functions_of(tree[file.path]).items():
                if after.get(name) != source:
                    found.setdefault(FunctionId(file.path, name))
    return tuple(found)


def functions_of(content: bytes) -> dict[str, str]:
    """Qualified name -> source, of the functions of a module and the methods of its classes; the last of equal names
    counts, as it does when the module is loaded."""
    text = content.decode("utf-8", "replace")
    lines = text.splitlines()
    return {item.name: "\n".join(lines[item.start : item.stop]) for item in _functions(outline(text))}


def _functions(definitions: Sequence[Definition]) -> Iterator[Definition]:
    for item in definitions:
        if item.kind == "function":
            yield item
        else:
            yield from _functions(item.inner)
