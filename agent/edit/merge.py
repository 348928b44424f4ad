"""Turns located definitions into splices of a file: replaced, merged member by member, or put in beside others."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from agent.edit.definitions import Definition, walk
from agent.edit.elision import is_stub, left_out
from agent.edit.lines import Source, replace_lines
from agent.edit.matching import indent_of
from agent.edit.reindent import placed
from agent.edit.values import EditProblem
from sandbox.base import RepoPath


@dataclass(frozen=True)
class Splice:
    """Lines `start` to `stop` of a file become `texts`; an insertion when they are equal."""

    start: int
    stop: int
    texts: tuple[str, ...]


@dataclass
class FileEdit:
    """The splices collected for one file, and what went wrong."""

    path: RepoPath
    source: Source
    definitions: tuple[Definition, ...]
    splices: list[Splice] = field(default_factory=list[Splice])
    stubs: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        self.texts = self.source.texts

    def replace(self, new: Definition, lines: Sequence[str], old: Definition) -> EditProblem | None:
        """Put `new` in the place of `old`: a class member by member, anything else whole."""
        if new.broken:
            return EditProblem(f"The code for `{new.name}` has a syntax error. Write it again, every line of it.")
        if is_stub(new, old) and new.kind != "assignment":
            self.stubs.append(old.name)
            return None
        if not old.alone:
            return EditProblem(
                f"`{old.name}` in `{self.path}` shares its line with other code, so it cannot be replaced by name. "
                "Use a search/replace block for it."
            )
        if new.kind == "class" and old.inner and old.body > old.head:
            return self._merge_class(new, lines, old)
        elided = left_out(new, lines, old, self.texts[old.start : old.stop]) if new.kind != "assignment" else None
        if elided:
            return EditProblem(
                f"The code for `{old.name}` leaves lines out (`{elided[:80]}`). Write every line of it, also the "
                "unchanged ones."
            )
        made = placed(new, lines, indent_of(self.texts[old.start]), old, self.texts)
        # Decorators and what stands above a definition stay where the model says nothing of them.
        start = old.head if new.start == new.head else old.start
        self.splices.append(Splice(start, old.stop, tuple(made)))
        return None

    def _merge_class(self, new: Definition, lines: Sequence[str], old: Definition) -> EditProblem | None:
        self._class_header(new, lines, old)
        members = {item.key: item for item in walk(old.inner)}
        prefix = len(new.name)
        wanted = [item for item in new.inner if item.name]
        pairs = [(item, _member(members, old.name + item.name[prefix:], item, wanted)) for item in wanted]
        known = [found for _, found in pairs if found is not None]
        for number, (item, found) in enumerate(pairs):
            if found is not None:
                problem = self.replace(item, lines, found)
                if problem:
                    return problem
                continue
            after = next((f for _, f in reversed(pairs[:number]) if f is not None), None)
            before = next((f for _, f in pairs[number:] if f is not None), None)
            if item.kind == "assignment":
                after, before = (after, None) if after and after.kind == "assignment" else (None, before)
            if after is None and before is None:
                after = known[-1] if known else _last(old)
            problem = self.insert(item, lines, after=after, before=before)
            if problem:
                return problem
        return None

    def _class_header(self, new: Definition, lines: Sequence[str], old: Definition) -> None:
        """The class line and its decorators change only where the model wrote others, never by being left out."""
        indent = indent_of(self.texts[old.head])
        header = lines[new.head].strip()
        was = self.texts[old.head].strip()
        one_line = re.compile(r"^class\b.*:\s*(#.*)?$")
        if new.parameters and new.parameters != old.parameters and one_line.match(header) and one_line.match(was):
            self.splices.append(Splice(old.head, old.head + 1, (indent + header,)))
        decorators = [line.strip() for line in lines[new.start : new.head]]
        if decorators and decorators != [line.strip() for line in self.texts[old.start : old.head]]:
            self.splices.append(Splice(old.start, old.head, tuple(indent + line for line in decorators)))

    def insert(
        self, new: Definition, lines: Sequence[str], *, after: Definition | None, before: Definition | None
    ) -> EditProblem | None:
        """Put a new definition beside one that the file has, with the usual blank lines between."""
        anchor = after or before
        if anchor is None:
            at, indent = len(self.texts), ""
        else:
            at = anchor.stop if after else self._above(anchor)
            indent = indent_of(self.texts[anchor.head])
        elided = left_out(new, lines, None, ())
        if elided or new.broken:
            why = f"leaves lines out (`{elided[:80]}`)" if elided else "has a syntax error"
            return EditProblem(f"The code for the new `{new.name}` {why}. Write every line of it.")
        made = placed(new, lines, indent, None, self.texts)
        dense = new.kind == "assignment" and anchor is not None and anchor.kind == "assignment"
        gap = [""] * (0 if dense else 1 if indent else 2)
        if after or anchor is None:
            while gap and at > 0 and not self.texts[at - 1].strip():
                gap.pop()
            self.splices.append(Splice(at, at, (*gap, *made)))
        else:
            self.splices.append(Splice(at, at, (*made, *gap)))
        return None

    def render(self) -> bytes | EditProblem:
        """The file with all splices made."""
        latest: dict[tuple[int, int], Splice] = {}
        inserted: list[Splice] = []
        for splice in self.splices:
            where = splice.start, splice.stop
            if splice.start == splice.stop:
                if splice not in inserted:
                    inserted.append(splice)
            elif splice.texts != tuple(self.texts[splice.start : splice.stop]) or where not in latest:
                # Of two versions of one definition the later counts; a copy of the present one is no version.
                latest[where] = splice
        ordered = sorted(latest.values(), key=lambda item: (item.start, item.stop))
        if any(second.start < first.stop for first, second in itertools.pairwise(ordered)):
            return EditProblem(f"Two definitions for `{self.path}` lie one inside the other. Write the outer one only.")
        lines = list(self.source.lines)
        # From the end backwards; insertions at one line keep their order, and come before what begins there.
        for splice in sorted([*inserted[::-1], *ordered], key=lambda item: (item.start, item.stop), reverse=True):
            lines = replace_lines(lines, splice.start, splice.stop, splice.texts, self.source.newline)
        try:
            return self.source.render(lines)
        except UnicodeEncodeError:
            return EditProblem(f"`{self.path}` is written in {self.source.encoding}. Use characters that it has.")

    def _above(self, definition: Definition) -> int:
        """The first of the comment lines right above a definition."""
        at, indent = definition.start, indent_of(self.texts[definition.start])
        while at > 0 and self.texts[at - 1].startswith(indent + "#"):
            at -= 1
        return at


def _member(
    members: dict[tuple[str, str], Definition], name: str, new: Definition, wanted: Sequence[Definition]
) -> Definition | None:
    """The member of a class that one in the model's answer means; kinds must agree."""
    found = members.get((name, new.role))
    if found is None and not new.role and sum(item.name == new.name for item in wanted) == 1:
        # A setter whose decorator the model left out.
        others = [item for (key, _), item in members.items() if key == name]
        found = others[0] if len(others) == 1 else None
    elif found is not None and not new.role and new.start == new.head:
        same = [i for (key, _), i in members.items() if key == name and i.parameters == new.parameters]
        found = same[0] if len(same) == 1 else found
    return found if found is not None and found.kind == new.kind else None


def _last(old: Definition) -> Definition | None:
    named = [item for item in old.inner if item.name]
    return named[-1] if named else None
