"""Reads a unified diff for showing: files, hunks, lines with their numbers, and what changed within a line.

It never fails: what is no diff is shown line by line as it is. Nothing here decides whether a patch applies.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

from harness.report.text import clean

Kind = Literal["context", "added", "removed", "note"]

_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@ ?(.*)")
_HEADERS = ("index ", "similarity ", "dissimilarity ", "old mode", "new mode", "--- ", "+++ ")
_MARKED = 400
"""Longer lines are not compared character by character."""


@dataclass(frozen=True)
class Line:
    kind: Kind
    old: int | None
    """Line number before the patch."""
    new: int | None
    parts: tuple[tuple[str, bool], ...]
    """Text and whether it is what changed within the line."""


@dataclass(frozen=True)
class Hunk:
    where: str
    """What git says it stands in, such as `def merge(spans):`."""
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class FileDiff:
    path: str
    note: str
    """`new file`, `deleted`, `renamed from ...`, `binary` or nothing."""
    added: int
    removed: int
    hunks: tuple[Hunk, ...]


def read_diff(patch: str, limit: int = 60_000) -> tuple[FileDiff, ...]:
    """The files of a patch, in its order; a patch of more than `limit` characters loses its middle."""
    files: list[FileDiff] = []
    chunk: list[str] = []
    for line in clean(patch, limit).split("\n"):
        if line.startswith("diff --git ") and chunk:
            files.append(_file(chunk))
            chunk = []
        chunk.append(line)
    if chunk and chunk[-1] == "":
        chunk.pop()
    return (*files, _file(chunk)) if chunk else tuple(files)


def _file(chunk: Sequence[str]) -> FileDiff:
    path, notes, hunks, position = "", list[str](), list[Hunk](), 0
    if chunk[0].startswith("diff --git "):
        path, position = chunk[0].rpartition(" b/")[2].rstrip('"'), 1
    while position < len(chunk):
        line = chunk[position]
        match = _HUNK.match(line)
        if match:
            lines, position = _hunk(chunk, position + 1, match)
            hunks.append(Hunk(match[5], tuple(_marked(lines))))
            continue
        position += 1
        if line.startswith("+++ ") and not path:
            path = line[4:].removeprefix("b/")
        elif line.startswith("new file"):
            notes.append("new file")
        elif line.startswith("deleted file"):
            notes.append("deleted")
        elif line.startswith("rename from "):
            notes.append(f"renamed from {line[12:]}")
        elif line.startswith(("GIT binary patch", "Binary files")):
            notes.append("binary")
            break
        elif line and not line.startswith((*_HEADERS, "rename to ")):
            hunks.append(Hunk("", (Line("note", None, None, ((line, False),)),)))
    shown = [line for hunk in hunks for line in hunk.lines]
    added = sum(line.kind == "added" for line in shown)
    removed = sum(line.kind == "removed" for line in shown)
    return FileDiff(path or "patch", ", ".join(notes), added, removed, tuple(hunks))


def _hunk(chunk: Sequence[str], position: int, head: re.Match[str]) -> tuple[list[Line], int]:
    """The hunk's lines and the position after them. Counts end it, so a removed `-- text` is no file header."""
    old, new = int(head[1]), int(head[3])
    old_end, new_end = old + int(head[2] or 1), new + int(head[4] or 1)
    lines: list[Line] = []
    while position < len(chunk) and (old < old_end or new < new_end or chunk[position].startswith("\\")):
        mark, text = chunk[position][:1], chunk[position][1:]
        parts = ((text, False),)
        if mark == "+":
            lines.append(Line("added", None, new, parts))
            new += 1
        elif mark == "-":
            lines.append(Line("removed", old, None, parts))
            old += 1
        elif mark in (" ", ""):
            lines.append(Line("context", old, new, parts))
            old, new = old + 1, new + 1
        else:
            lines.append(Line("note", None, None, ((chunk[position].removeprefix("\\ "), False),)))
        position += 1
    return lines, position


def _marked(lines: Sequence[Line]) -> Iterator[Line]:
    """The lines, with the changed characters marked where as many lines were removed as added."""
    position = 0
    while position < len(lines):
        if lines[position].kind != "removed":
            yield lines[position]
            position += 1
            continue
        removed = _run(lines, position, "removed")
        added = _run(lines, position + len(removed), "added")
        position += len(removed) + len(added)
        if len(removed) == len(added):
            pairs = [_compare(before, after) for before, after in zip(removed, added, strict=True)]
            removed, added = [before for before, _ in pairs], [after for _, after in pairs]
        yield from removed
        yield from added


def _run(lines: Sequence[Line], start: int, kind: Kind) -> list[Line]:
    end = start
    while end < len(lines) and lines[end].kind == kind:
        end += 1
    return list(lines[start:end])


def _compare(before: Line, after: Line) -> tuple[Line, Line]:
    old, new = before.parts[0][0], after.parts[0][0]
    if max(len(old), len(new)) > _MARKED:
        return before, after
    # By words: marking single letters that two words happen to share makes a diff harder to read.
    words = [re.findall(r"\w+|\s+|.", text) for text in (old, new)]
    matcher = SequenceMatcher(None, words[0], words[1], autojunk=False)
    if matcher.ratio() < 0.5:
        return before, after
    parts: tuple[list[tuple[str, bool]], list[tuple[str, bool]]] = ([], [])
    for tag, left, left_end, right, right_end in matcher.get_opcodes():
        for side, piece in enumerate(("".join(words[0][left:left_end]), "".join(words[1][right:right_end]))):
            if piece:
                parts[side].append((piece, tag != "equal"))
    return (
        Line(before.kind, before.old, before.new, tuple(parts[0])),
        Line(after.kind, after.old, after.new, tuple(parts[1])),
    )
