"""A commit's files: what git lists, what stages read, what a snapshot holds."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO

from sandbox.base import RepoPath

TREE_FILE_CAP = 1024**2
"""Bytes of a file that `CommitTree` shows; as in `Sandbox.tree`."""


@dataclass(frozen=True)
class Entry:
    """A line of `git ls-tree`: mode as text (`100644`), type, object id, size in bytes (0 where there is none)."""

    mode: str
    type: str
    sha: str
    size: int
    path: str


class CommitTree(Mapping[RepoPath, bytes]):
    """The regular files of a commit, up to 1 MiB each; read from the repository when asked for."""

    def __init__(self, read: Callable[[str], bytes], entries: Sequence[Entry]) -> None:
        """`read` gives the content of a blob."""
        self._read = read
        self._entries = {RepoPath(entry.path): entry for entry in entries if entry.size <= TREE_FILE_CAP}

    def __getitem__(self, path: RepoPath) -> bytes:
        return self._read(self._entries[path].sha)

    def __iter__(self) -> Iterator[RepoPath]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def add_entry(tar: tarfile.TarFile, entry: Entry, content: bytes, when: int) -> None:
    info = tarfile.TarInfo(entry.path)
    info.mtime = when
    if entry.mode == "120000":
        info.type, info.mode = tarfile.SYMTYPE, 0o777
        info.linkname = os.fsdecode(content)
        tar.addfile(info)
        return
    info.mode = 0o755 if entry.mode == "100755" else 0o644
    info.size = len(content)
    tar.addfile(info, BytesIO(content))
