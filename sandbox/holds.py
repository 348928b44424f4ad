"""Holds on names of images: shared while an image is used, exclusive while it is made or removed.

A hold is a lock on a file in the cache folder. Every process of this machine sees it, and it ends with the process
that had it, however that ended. The file's time is when the image was used last.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote


class Hold:
    """One process' hold on a name, until it is released."""

    def __init__(self, descriptor: int, path: Path, *, exclusive: bool) -> None:
        self._descriptor: int | None = descriptor
        self._path = path
        self._exclusive = exclusive
        if not exclusive:
            os.utime(descriptor)

    def release(self) -> None:
        """End the hold. Safe to call twice."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            if not self._exclusive:
                os.utime(descriptor)
            os.close(descriptor)

    def forget(self) -> None:
        """End an exclusive hold together with what is known of the name: the image is no more."""
        self._path.unlink(missing_ok=True)
        self.release()


class Holds:
    """The holds in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def take(self, name: str, *, exclusive: bool = False) -> Hold | None:
        """A hold, or None while somebody (this process included) has one that excludes it. Raises OSError."""
        path = self._path(name)
        while True:
            descriptor = _open(path)
            try:
                fcntl.flock(descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                return None
            if _is_at(descriptor, path):
                return Hold(descriptor, path, exclusive=exclusive)
            os.close(descriptor)  # forgotten between the opening and the lock

    def used(self, name: str) -> float | None:
        """When the name was used last, in seconds of the epoch; None when that is not known."""
        try:
            return self._path(name).stat().st_mtime or None
        except OSError:
            return None

    def _path(self, name: str) -> Path:
        return self._folder / quote(name, safe="")


def _open(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    os.utime(descriptor, (0, 0))  # looking whether somebody uses an image is no use of it
    return descriptor


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        there = path.stat()
    except OSError:
        return False
    return os.path.samestat(os.fstat(descriptor), there)
