"""Temporary folders whose names tell whose they are, so that what a killed process left can be told and removed."""

from __future__ import annotations

import os
import re
import shutil
import socket
import tempfile
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

from sandbox.base import digest_of
from sandbox.profile import process_start

_NAME = re.compile(r"bestpatch-([0-9a-f]{6})\.(\d+)\.(\d*)-.*")


def prefix() -> str:
    """What the names of this process' temporary files begin with: machine, process id, and its start."""
    return f"bestpatch-{_machine()}.{os.getpid()}.{process_start(os.getpid()) or ''}-"


@contextmanager
def scratch_folder(parent: Path | None = None) -> Generator[Path]:
    """A temporary folder in the machine's place for such, or in `parent`; gone afterwards."""
    with tempfile.TemporaryDirectory(prefix=prefix(), dir=parent) as folder:
        yield Path(folder)


def left_behind(places: Iterable[Path]) -> list[Path]:
    """What processes of this machine and this user that are no more have left in these folders."""
    found: list[Path] = []
    for place in places:
        for path in sorted(place.glob("bestpatch-*")):
            match = _NAME.fullmatch(path.name)
            dead = match is not None and match[1] == _machine() and process_start(int(match[2])) != (match[3] or None)
            if dead and path.lstat().st_uid == os.getuid():
                found.append(path)
    return found


def bytes_of(path: Path) -> int:
    """What a file or folder takes on the disk; links are not followed."""
    below = [Path(folder, name) for folder, folders, files in os.walk(path) for name in (*folders, *files)]
    total = 0
    for each in (path, *below):
        try:
            total += each.lstat().st_blocks * 512
        except OSError:
            continue  # gone in the meantime
    return total


def remove(path: Path) -> None:
    """A file, link or folder. Raises OSError."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _machine() -> str:
    return digest_of(socket.gethostname())[:6]
