"""Which functions of the unedited tree the patches of classes touch: those whose source differs after a patch.

Covered are top-level functions and the methods of classes, in Python files that are no tests. A function that only a
patch defines cannot be called on the other trees, and one inside another function counts as that one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from agent.edit.definitions import Definition, outline
from agent.edit.patched import apply_in_memory
from sandbox.base import Patch, RepoPath, Tree
from selection.repository_tests import is_test_file
from selection.steering import steers

PROSE = (".md", ".rst")
"""Files that no test notices."""


@dataclass(frozen=True, order=True)
class FunctionId:
    """A function or method of the repository."""

    path: RepoPath
    name: str
    """Qualified: `function` or `Class.method`."""


@dataclass(frozen=True)
class Lines:
    """The lines of a function's definition, decorators included, both ends counted from 1."""

    path: RepoPath
    first: int
    last: int


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


def lines_to_call(patches: Iterable[Patch], tree: Tree) -> tuple[Lines, ...]:
    """The functions of which a test has to call one to be able to tell any of the patches from the unedited tree.

    These are the touched functions. Where a class gets a new method, all its methods count, because it may replace an
    inherited one; where anything outside functions changes, all functions of the file do, imports that are added
    excepted. () where that is not enough: files that are no Python, files that go, modules without functions.
    """
    found: dict[Lines, None] = {}
    for patch in patches:
        files = apply_in_memory(patch, tree)
        if files is None:
            return ()
        for file in files:
            path = file.path
            if is_test_file(path) or steers(path) or path not in tree or PurePosixPath(path).suffix in PROSE:
                continue  # put back for the tests, or new: nothing can use it that is not changed itself
            if not path.endswith(".py") or file.content is None:
                return ()
            changed = _changed(tree[path], file.content)
            if changed is None:
                return ()
            found.update(dict.fromkeys(Lines(path, item.start + 1, item.stop) for item in changed))
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


def _changed(before: bytes, after: bytes) -> list[Definition] | None:
    """The functions of a file that count as touched; None where something else changes, and it has no functions."""
    old, new = _Module(before), _Module(after)
    if old.loose - new.loose or new.loose - old.loose or old.imports - new.imports:
        return old.functions or None
    known = {item.name for item in old.functions}
    grown = {item.name.rpartition(".")[0] for item in new.functions if item.name not in known} - {""}
    kept = Counter((item.name, new.source(item)) for item in new.functions)
    return [
        item for item in old.functions if not kept[item.name, old.source(item)] or item.name.rpartition(".")[0] in grown
    ]


class _Module:
    """A module's functions, and what stands outside them."""

    def __init__(self, content: bytes) -> None:
        text = content.decode("utf-8", "replace")
        definitions = outline(text)
        self._lines = text.splitlines()
        self.functions = list(_functions(definitions))
        imports = list(_imports(definitions))
        self.imports = {(self.source(item).partition(" import ")[0], name) for item in imports for name in item.names}
        within = {line for item in (*self.functions, *imports) for line in range(item.start, item.stop)}
        outside = (line.strip() for number, line in enumerate(self._lines) if number not in within)
        self.loose = Counter(line for line in outside if line and not line.startswith("#"))

    def source(self, item: Definition) -> str:
        return "\n".join(self._lines[item.start : item.stop])


def _imports(definitions: Sequence[Definition]) -> Iterator[Definition]:
    for item in definitions:
        if item.kind == "import":
            yield item
        elif item.kind != "function":
            yield from _imports(item.inner)
