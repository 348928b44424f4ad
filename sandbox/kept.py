"""Folders that are made once and kept while anybody uses them: whole or not at all, whoever asks at the same time.

Beside each lies a lock file. Who makes or removes the folder holds it alone, who uses it holds it with others; the
kernel lets go of it when a process ends. Its time is that of the last use, and it says what the folder takes on the
disk: to count the files of all folders before each build took longer than a build, once there were some dozens.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from sandbox.errors import EnvironmentUnavailable
from sandbox.rootfs import remove_tree

_LOOK_SECONDS = 0.2
_SUFFIX = ".lock"


@dataclass(frozen=True)
class KeptFolder:
    """One that nobody uses now. `used`: seconds since 1970; `bytes`: what the disk gets back."""

    name: str
    used: float
    bytes: int


class Kept:
    def __init__(self, folder: Path, cancelled: threading.Event) -> None:
        self._folder = folder
        self._cancelled = cancelled
        self._used: list[int] = []

    def once(self, name: str, make: Callable[[Path], object], size: Callable[[Path], int] | None = None) -> Path:
        """The folder of that name, in use until `release`. Where it is not there, `make` fills a new one, which then
        becomes it; `size` says what that takes on the disk. Raises EnvironmentUnavailable when it is interrupted, and
        what `make` raises."""
        place, part = self._folder / name, self._folder / f"{name}.part"
        while True:
            fd = self._shared(name)
            if place.exists():
                os.utime(fd)
                self._used.append(fd)
                return place
            # Who does not get it looks again: whoever made the folder meanwhile may hold it for as long as a run takes.
            if _take(fd, fcntl.LOCK_EX):
                try:
                    if not place.exists():
                        self._make(fd, place, part, make, size or bytes_below)
                finally:
                    os.close(fd)
            else:
                os.close(fd)
                self._wait()

    def _make(
        self, fd: int, place: Path, part: Path, make: Callable[[Path], object], size: Callable[[Path], int]
    ) -> None:
        remove_tree(part)  # of one who died: nobody else is at it
        part.mkdir()
        try:
            make(part)
            os.ftruncate(fd, 0)
            os.pwrite(fd, str(size(part)).encode(), 0)
            os.rename(part, place)
        finally:
            remove_tree(part)

    def release(self) -> None:
        """What was asked for here is not used here any more."""
        while self._used:
            os.close(self._used.pop())

    def idle(self, before: float) -> list[KeptFolder]:
        """The folders that nobody uses now or has used since `before`, the least recently used first."""
        found: list[KeptFolder] = []
        for lock in self._folder.glob(f"*{_SUFFIX}"):
            name, used = lock.name.removesuffix(_SUFFIX), lock.stat().st_mtime
            there = [path for path in (self._folder / name, self._folder / f"{name}.part") if path.exists()]
            if there and used <= before and self._free(name):
                found.append(KeptFolder(name, used, sum(map(self._bytes, there))))
        return sorted(found, key=lambda one: one.used)

    def trim(self, most: int) -> list[str]:
        """Remove folders that nobody uses, the least recently used first, until all take at most `most` bytes or all
        that are left are in use; gives those that are gone."""
        places = [lock.with_name(lock.name.removesuffix(_SUFFIX)) for lock in self._folder.glob(f"*{_SUFFIX}")]
        over = sum(map(self._bytes, places)) - most
        gone: list[str] = []
        for one in self.idle(float("inf")) if over > 0 else ():
            if over > 0 and self.remove(one.name):
                over -= one.bytes
                gone.append(one.name)
        return gone

    def remove(self, name: str) -> bool:
        """Remove a folder; False where somebody uses it."""
        fd = _open(self._folder, name)
        try:
            if not _take(fd, fcntl.LOCK_EX):
                return False
            remove_tree(self._folder / name)
            remove_tree(self._folder / f"{name}.part")
        finally:
            os.close(fd)
        return True

    def _bytes(self, folder: Path) -> int:
        """What a folder takes; nothing where there is none."""
        if not folder.exists():
            return 0
        try:
            return int((self._folder / f"{folder.name}{_SUFFIX}").read_text("ascii"))
        except (OSError, ValueError):  # of one that is half made
            return bytes_below(folder)

    def _free(self, name: str) -> bool:
        fd = _open(self._folder, name)
        try:
            return _take(fd, fcntl.LOCK_EX)
        finally:
            os.close(fd)

    def _shared(self, name: str) -> int:
        self._folder.mkdir(parents=True, exist_ok=True)
        fd = _open(self._folder, name)
        try:
            while not _take(fd, fcntl.LOCK_SH):
                self._wait()
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _wait(self) -> None:
        """Until it is worth while to look again. Raises EnvironmentUnavailable."""
        if self._cancelled.is_set():
            raise EnvironmentUnavailable("the image build was interrupted")
        time.sleep(_LOOK_SECONDS)


def bytes_below(folder: Path, without: Collection[str] = ()) -> int:
    """What the files below a folder take on the disk, except those below folders of these paths. Each name of a file
    has its part of it."""
    total = 0.0
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if os.path.join(root, name) not in without]
        for file in files:
            status = os.lstat(os.path.join(root, file))
            total += status.st_blocks * 512 / max(1, status.st_nlink)
    return round(total)


def _open(folder: Path, name: str) -> int:
    return os.open(folder / f"{name}{_SUFFIX}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)


def _take(fd: int, how: int) -> bool:
    try:
        fcntl.flock(fd, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
