"""Applies a patch to a tree in memory, strictly: exact context at the exact line, or not at all."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sandbox.base import Patch, RepoPath, Tree

_HUNK = re.compile(r"^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_HEADER = re.compile(r"^diff --git a/(.+) b/(.+)$")


@dataclass(frozen=True)
class FilePatch:
    """One file's part of a patch."""

    path: RepoPath
    content: bytes | None
    """The content after the patch; None when the file is deleted."""
    mode: str
    """What the patch says of the file's mode; "" when nothing."""


def apply_in_memory(patch: Patch, tree: Tree) -> tuple[FilePatch, ...] | None:
    """The files a patch changes, in its order; None when it does what is not done in memory.

    That is: binary content, renames, quoted paths, files that the tree does not hold, and anything that does not
    fit exactly. A sandbox's git has to be asked then.
    """
    files: list[FilePatch] = []
    for section in _sections(patch):
        made = _section(section, tree)
        if made is None:
            return None
        files.append(made)
    paths = [file.path for file in files]
    return tuple(files) if len(set(paths)) == len(paths) else None


def _sections(patch: Patch) -> list[list[str]]:
    """The lines of each `diff --git` section. No line of a hunk begins like that: each has a sign before it."""
    sections: list[list[str]] = []
    lines = patch.split("\n")
    if lines and lines[-1] == "":
        lines.pop()
    for line in lines:
        if line.startswith("diff --git ") or not sections:
            sections.append([])
        sections[-1].append(line)
    return sections


def _section(lines: list[str], tree: Tree) -> FilePatch | None:
    header = _HEADER.match(lines[0])
    if not header or header[1] != header[2]:
        return None
    path = RepoPath(header[1])
    mode, at, new, deleted = "", 1, False, False
    while at < len(lines) and not lines[at].startswith("@@ "):
        line = lines[at]
        if line.startswith(("new file mode ", "old mode ", "new mode ")):
            mode += line + ";"
            new = new or line.startswith("new file")
        elif line.startswith("deleted file mode "):
            deleted = True
        elif not line.startswith(("index ", "--- ", "+++ ")):
            return None
        at += 1
    if mode.startswith("new file mode ") and mode not in {"new file mode 100644;", "new file mode 100755;"}:
        return None
    if new == (path in tree):
        return None
    old = b"" if new else tree[path]
    content = _hunks(lines[at:], old)
    if content is None or (deleted and content):
        return None
    return FilePatch(path, None if deleted else content, mode)


def _hunks(lines: list[str], old: bytes) -> bytes | None:
    before = old.split(b"\n")
    made: list[bytes] = []
    at = taken = 0
    while at < len(lines):
        hunk = _HUNK.match(lines[at])
        if not hunk:
            return None
        want_old, want_new = int(hunk[2] or 1), int(hunk[4] or 1)
        start = int(hunk[1]) - 1 if want_old else int(hunk[1])
        if start < taken or start > len(before):
            return None
        made.extend(before[taken:start])
        taken, at = start, at + 1
        last_old = last_new = False
        while want_old or want_new or (at < len(lines) and lines[at].startswith("\\")):
            if at == len(lines):
                return None
            sign, text = lines[at][:1], lines[at][1:].encode("utf-8", "surrogateescape")
            at += 1
            if sign == "\\":
                # "No newline at end of file" speaks of the line before it.
                continue
            if sign in {" ", "-"}:
                if taken >= len(before) or before[taken] != text:
                    return None
                taken, want_old = taken + 1, want_old - 1
                last_old = _says_no_newline(lines, at)
            if sign in {" ", "+"}:
                made.append(text)
                want_new -= 1
                last_new = _says_no_newline(lines, at)
            if sign not in {" ", "-", "+"}:
                return None
        rest = before[taken:]
        if last_old != (not rest):
            return None
        if last_new:
            return b"\n".join(made) if at == len(lines) and rest in ([], [b""]) else None
        if last_old:
            # The old last line had no newline, the new one has.
            before, taken = [*before, b""], len(before)
    made.extend(before[taken:])
    return b"\n".join(made)


def _says_no_newline(lines: list[str], at: int) -> bool:
    return at < len(lines) and lines[at].startswith("\\")
