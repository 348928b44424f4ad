"""Looks at a patch before anything runs: which files it touches, and that it stays where it belongs.

`git apply` inside the sandbox is the judge of whether a patch applies. This page only refuses what must not
even be tried: paths that leave the repository or lie in `.git`, links out of the tree, submodules, and sizes
that no fix has. It reads patches as git does, hunk lengths included, so that text inside a hunk is never
taken for a header, nor a header for text.
"""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field

from sandbox.base import Patch, RepoPath
from sandbox.errors import PatchRejected, PatchTooLarge

MAX_PATCH_BYTES = 5 * 1024**2
MAX_PATCH_FILES = 500
MAX_FILE_BYTES = 16 * 1024**2

_HUNK = re.compile(r"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")
_MODES = {"100644", "100755", "120000"}
_ESCAPES = {"a": 7, "b": 8, "t": 9, "n": 10, "v": 11, "f": 12, "r": 13, '"': 34, "\\": 92}
_HEADERS = ("--- ", "+++ ", "rename from ", "rename to ", "copy from ", "copy to ")


def check_path(path: str) -> RepoPath:
    """A path that may be written, or PatchRejected."""
    parts = path.split("/")
    if not path or "\0" in path or path.startswith("/"):
        raise PatchRejected(f"not a path inside the repository: {path!r}")
    if any(part in ("", ".", "..") for part in parts):
        raise PatchRejected(f"the path leaves the repository or is not in plain form: {path!r}")
    if any(_plain(part) in (".git", "git~1") for part in parts):
        raise PatchRejected(f"the path lies in git's own folder: {path!r}")
    if _plain(parts[-1]) == ".gitmodules":
        raise PatchRejected("submodules must not be changed (.gitmodules)")
    return RepoPath(path)


def _plain(part: str) -> str:
    """A name as the laxest file system would compare it (case, invisible characters, trailing dots)."""
    visible = "".join(c for c in unicodedata.normalize("NFC", part) if unicodedata.category(c) != "Cf")
    return visible.rstrip(". ").casefold()


def check_link(path: str, target: str) -> None:
    """Refuse a symbolic link whose target lies outside the repository."""
    landing = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    if not target or target.startswith("/") or landing == ".." or landing.startswith("../"):
        raise PatchRejected(f"a symbolic link leaves the repository: {path!r} -> {target!r}")
    if any(_plain(part) == ".git" for part in landing.split("/")):
        raise PatchRejected(f"a symbolic link into git's own folder: {path!r} -> {target!r}")


def check_clashes(paths: Iterable[str]) -> None:
    """Refuse two paths that some file systems take for the same file."""
    seen: dict[str, str] = {}
    for path in paths:
        key = "/".join(unicodedata.normalize("NFC", part).casefold() for part in path.split("/"))
        if seen.setdefault(key, path) != path:
            raise PatchRejected(f"two paths that differ only by case or accents: {seen[key]!r}, {path!r}")


@dataclass
class _File:
    """One file's part of a patch, while it is read."""

    names: set[str] = field(default_factory=set[str])
    fallback: str | None = None
    modes: set[str] = field(default_factory=set[str])
    link: bool = False
    deleted: bool = False
    binary: bool = False
    hunks: int = 0
    added: list[str] = field(default_factory=list[str])

    def finish(self) -> RepoPath:
        if not self.names and self.fallback is not None:
            self.names.add(self.fallback)
        if not self.names:
            raise PatchRejected("the patch names no file it changes")
        paths = sorted(check_path(name) for name in self.names)
        if "160000" in self.modes:
            raise PatchRejected(f"submodules must not be changed: {paths[0]!r}")
        if not self.modes <= _MODES:
            raise PatchRejected(f"unusual file mode {sorted(self.modes - _MODES)[0]!r} for {paths[0]!r}")
        if self.link and not self.deleted:
            if self.binary or not self.hunks:
                raise PatchRejected(f"a symbolic link that cannot be read: {paths[0]!r}")
            for path in paths:
                check_link(path, "\n".join(self.added))
        return paths[-1]


def check_patch(patch: Patch) -> tuple[RepoPath, ...]:
    """The paths a patch writes or deletes, in order, without repeats. Raises PatchRejected."""
    try:
        size = len(patch.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise PatchRejected(f"the patch is not valid UTF-8: {error}") from None
    if size > MAX_PATCH_BYTES:
        raise PatchTooLarge(f"the patch has {size} bytes; at most {MAX_PATCH_BYTES} are taken")
    if "\0" in patch:
        raise PatchRejected("the patch contains a NUL character; make it with `git diff --binary`")
    # Without the empty string after the last line break: it is no line, and would pass for blank context.
    files = _read(patch.removesuffix("\n").split("\n"))
    if patch.strip() and not files:
        raise PatchRejected("this is no unified diff: it changes no file")
    if len(files) > MAX_PATCH_FILES:
        raise PatchTooLarge(f"the patch changes {len(files)} files; at most {MAX_PATCH_FILES} are taken")
    paths = [name for file in files for name in (file.finish(), *sorted(file.names))]
    check_clashes(paths)
    return tuple(RepoPath(path) for path in dict.fromkeys(paths))


def _read(lines: list[str]) -> list[_File]:
    files: list[_File] = []
    current: _File | None = None
    at = 0
    while at < len(lines):
        line = lines[at]
        at += 1
        if line.startswith("diff --git "):
            current = _File(fallback=_same_name(line[len("diff --git ") :]))
            files.append(current)
        elif line.startswith("--- ") and at < len(lines) and lines[at].startswith("+++ "):
            # A diff without git's own line, or the second file of one such.
            if current is None or current.hunks or current.binary:
                current = _File()
                files.append(current)
            _header(current, line)
            _header(current, lines[at])
            at += 1
        elif current is not None and line.startswith("GIT binary patch"):
            current.binary = True
            at = _skip_binary(lines, at)
        elif current is not None and line.startswith(("Binary files ", "Files ")) and line.endswith(" differ"):
            raise PatchRejected("a binary change without its content; make the patch with `git diff --binary`")
        elif current is not None and (hunk := _HUNK.match(line)):
            current.hunks += 1
            at = _skip_hunk(lines, at, hunk, current)
        elif line.startswith("@@ "):
            raise PatchRejected("a hunk without a file or with a malformed header")
        elif current is not None and not current.hunks and not current.binary:
            _header(current, line)
    return files


def _header(file: _File, line: str) -> None:
    for prefix in _HEADERS:
        if line.startswith(prefix):
            name = _name(line[len(prefix) :], strip=prefix in ("--- ", "+++ "))
            if name is not None:
                file.names.add(name)
            return
    for prefix in ("old mode ", "new mode ", "new file mode ", "deleted file mode "):
        if line.startswith(prefix):
            mode = line[len(prefix) :].strip()
            file.modes.add(mode)
            file.link |= mode == "120000" and not prefix.startswith("old")
            file.deleted |= prefix.startswith("deleted")
    if line.startswith("index ") and len(words := line.split()) == 3:
        file.modes.add(words[2])
        file.link |= words[2] == "120000"


def _skip_hunk(lines: list[str], at: int, hunk: re.Match[str], file: _File) -> int:
    old, new = (int(count) if count is not None else 1 for count in hunk.groups())
    while old > 0 or new > 0:
        if at >= len(lines):
            raise PatchRejected("the patch ends inside a hunk")
        line = lines[at]
        at += 1
        if line.startswith("\\"):
            continue
        kind = line[:1] or " "  # some editors strip the blank of an empty context line; git takes it too
        if kind not in " -+":
            raise PatchRejected(f"a line of a hunk that starts with {kind!r}")
        old -= kind in " -"
        new -= kind in " +"
        if kind == "+":
            file.added.append(line[1:])
    if old < 0 or new < 0:
        raise PatchRejected("a hunk longer than its header says")
    return at


def _skip_binary(lines: list[str], at: int) -> int:
    """Past `literal N` / `delta N` blocks, each ended by an empty line."""
    while at < len(lines) and re.fullmatch(r"(literal|delta) \d+", lines[at]):
        while at < len(lines) and lines[at]:
            at += 1
        at += 1
    return at


def _name(text: str, *, strip: bool) -> str | None:
    """A header's file name, without `a/` or `b/` where the header has them; None for /dev/null."""
    plain = text.split("\t")[0].rstrip("\r\n") if strip else text
    name = _unquote(text)[0] if text.startswith('"') else plain
    if strip and name == "/dev/null":
        return None
    if not strip:
        return name
    if name.startswith("/") or "/" not in name:
        raise PatchRejected(f"paths of a patch start with a/ and b/; this one does not: {name!r}")
    return name.split("/", 1)[1]


def _same_name(text: str) -> str | None:
    """The name in `a/NAME b/NAME`, where both are the same: the only name of an empty or mode-only change."""
    if text.startswith('"'):
        first, rest = _unquote(text)
        second = _unquote(rest.strip())[0] if rest.strip().startswith('"') else rest.strip()
        return first.split("/", 1)[-1] if first.split("/", 1)[-1] == second.split("/", 1)[-1] else None
    middle = len(text) // 2
    first, second = text[:middle], text[middle + 1 :]
    same = first.partition("/")[2]
    return same if same and same == second.partition("/")[2] else None


def _unquote(text: str) -> tuple[str, str]:
    """Git's C-style quoted string at the start of the text, and what follows it."""
    data, at = bytearray(), 1
    while at < len(text) and text[at] != '"':
        if text[at] != "\\":
            data += text[at].encode("utf-8", "surrogateescape")
            at += 1
        elif (octal := re.match(r"[0-3][0-7]{2}", text[at + 1 :])) is not None:
            data.append(int(octal.group(), 8))
            at += 4
        elif text[at + 1 : at + 2] in _ESCAPES:
            data.append(_ESCAPES[text[at + 1]])
            at += 2
        else:
            raise PatchRejected(f"a file name with a broken escape: {text[:80]!r}")
    if at >= len(text):
        raise PatchRejected(f"a quoted file name without its end: {text[:80]!r}")
    return data.decode("utf-8", "surrogateescape"), text[at + 1 :]
