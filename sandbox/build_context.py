"""Build contexts: what an image is made of, as a tar archive."""

from __future__ import annotations

import io
import tarfile
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from sandbox.errors import EnvironmentUnavailable


class Context:
    """A build context as a tar archive in a temporary file."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar

    def add(self, path: str, data: bytes, mode: int = 0o644) -> None:
        member = tarfile.TarInfo(path)
        member.size, member.mode = len(data), mode
        self._tar.addfile(member, io.BytesIO(data))

    def add_file(self, path: str, source: Path) -> None:
        """A file, link or folder of this machine, without its owner."""
        member = self._tar.gettarinfo(str(source), path)
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        if member.isreg():
            with source.open("rb") as file:
                self._tar.addfile(member, file)
        elif member.isdir() or member.issym():
            self._tar.addfile(member)

    def add_snapshot(self, archive: Path, under: str) -> list[str]:
        """The members of a snapshot's archive; gives the paths of its files and links."""
        paths: list[str] = []
        with tarfile.open(archive) as snapshot:
            for member in snapshot:
                name = member.name.removeprefix("./").rstrip("/")
                if name in ("", ".", "pax_global_header"):
                    continue
                parts = name.split("/")
                if name.startswith("/") or ".." in parts or ".git" in parts:
                    raise EnvironmentUnavailable(f"the snapshot holds a path that does not belong in it: {name!r}")
                data = snapshot.extractfile(member) if member.isreg() or member.islnk() else None
                member = member.replace(name=f"{under}/{name}", uid=0, gid=0, uname="", gname="", deep=False)
                # Long and non-ASCII names come in extended headers, which would outrank the name just given.
                member.pax_headers = {}
                if data is not None:
                    member.type = tarfile.REGTYPE
                    data.seek(0, io.SEEK_END)
                    member.size = data.tell()
                    data.seek(0)
                elif not (member.isdir() or member.issym()):
                    continue
                self._tar.addfile(member, data)
                if not member.isdir():
                    paths.append(name)
        return paths


@contextmanager
def context_of(fill: Callable[[Context], None]) -> Generator[IO[bytes], None, None]:
    """The file of a context that `fill` has filled; gone afterwards."""
    with tempfile.TemporaryFile(prefix="bestpatch-") as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
            fill(Context(tar))
        file.seek(0)
        yield file
