"""Finds the definition of the repository that a definition in a model's answer means."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from agent.edit.definitions import Definition, outline, walk
from agent.edit.lines import read_source
from agent.edit.values import EditProblem
from sandbox.base import RepoPath, Tree

_TESTS = re.compile(r"(^|/)(tests?|testing)/|(^|/)(test_[^/]*|[^/]*_test|conftest)\.py$")


@dataclass(frozen=True)
class Place:
    """A definition of the repository."""

    path: RepoPath
    definition: Definition

    @property
    def label(self) -> str:
        return f"`{self.definition.name}` in `{self.path}` (line {self.definition.start + 1})"


@dataclass(frozen=True)
class Wanted:
    """A definition in a model's answer, and the words around it that may say which one is meant."""

    definition: Definition
    text: str
    hints: str


def file_text(content: bytes) -> str:
    """A file's text with LF endings: the lines are those of `read_source`."""
    return "".join(f"{line.text}\n" for line in read_source(content).lines)


def definitions_of(path: RepoPath, tree: Tree) -> tuple[Definition, ...]:
    """The outline of a Python file of the tree; () of others."""
    if path not in tree or not path.endswith((".py", ".pyi")):
        return ()
    return outline(file_text(tree[path]))


def locate(wanted: Wanted, files: Iterable[RepoPath], tree: Tree) -> Place | EditProblem | None:
    """The one definition meant, among those of `files`; None when there is none of its name.

    A top-level definition comes before a method of the same name, unless what is wanted takes `self` or `cls`.
    Among several, the hints decide, then a clear likeness of the text; else it is a problem that names them.
    """
    new = wanted.definition
    found = [Place(path, item) for path in files for item in walk(definitions_of(path, tree)) if _may_be(new, item)]
    if not found:
        return None
    best = min(_distance(new, place.definition) for place in found)
    found = [place for place in found if _distance(new, place.definition) == best]
    return _one_of(found, wanted, tree)


def _may_be(new: Definition, old: Definition) -> bool:
    if new.kind == "assignment":
        return old.kind == "assignment" and old.name == new.name
    return old.kind == new.kind and old.last_name == new.last_name


def _distance(new: Definition, old: Definition) -> int:
    depth = old.name.count(".")
    if new.parameters.startswith(("(self", "(cls")):
        return abs(depth - 1)
    return depth


def _one_of(found: list[Place], wanted: Wanted, tree: Tree) -> Place | EditProblem:
    if len(found) == 1:
        return found[0]
    mentions = set(re.findall(r"[\w./]+", wanted.hints))
    by_class = [p for p in found if set(p.definition.name.split(".")[:-1]) & _words(mentions)]
    by_path = [p for p in found if p.path in mentions or p.path.rsplit("/", 1)[-1] in mentions]
    for kept in ([p for p in by_class if p in by_path], by_class, by_path):
        if len(kept) == 1:
            return kept[0]
    new = wanted.definition
    same = [p for p in found if p.path == found[0].path and p.definition.name == found[0].definition.name]
    if len(same) == len(found):
        # One name, several definitions: property and setter, overloads, branches of an `if`.
        for kept in (
            [p for p in found if p.definition.role == new.role],
            [p for p in found if p.definition.parameters == new.parameters],
        ):
            if len(kept) == 1:
                return kept[0]
    scored = sorted(((_likeness(wanted, p, tree), -n) for n, p in enumerate(found)), reverse=True)
    (first, number), (second, _) = scored[:2]
    if first >= 0.6 and first - second >= 0.25:
        return found[-number]
    listed = "\n".join(f"- {place.label}" for place in found[:8])
    return EditProblem(
        f"`{new.last_name}` could be any of these {len(found)} definitions:\n{listed}\nSay which one: write it inside "
        "its class (`class Name:` and then only that method), with the file's path as a comment on the first line "
        "of the block."
    )


def _words(mentions: set[str]) -> set[str]:
    return {part for mention in mentions for part in mention.split(".")}


def _likeness(wanted: Wanted, place: Place, tree: Tree) -> float:
    """How alike the two texts are, 0 to 1, and somewhat more when their parameters are the same."""
    lines = read_source(tree[place.path]).texts[place.definition.start : place.definition.stop]
    old = "\n".join(line.strip() for line in lines)[:4_000]
    new = "\n".join(line.strip() for line in wanted.text.split("\n"))[:4_000]
    same = 0.2 if place.definition.parameters == wanted.definition.parameters else 0.0
    return difflib.SequenceMatcher(None, old, new, autojunk=False).ratio() + same


def files_naming(definition: Definition, tree: Tree) -> list[RepoPath]:
    """The Python files that may define the name, by a quick look at their bytes; tests only where no other does."""
    name = re.escape(definition.last_name.encode("utf-8", "replace"))
    pattern = re.compile(rb"(?m)^[ \t]*(?:async[ \t]+)?(?:def|class)[ \t]+" + name + rb"\b")
    found = [path for path, content in tree.items() if path.endswith((".py", ".pyi")) and pattern.search(content)]
    return [path for path in found if not _TESTS.search(path)] or found
