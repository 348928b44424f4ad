"""Whether an execution has changed its workspace: one that is as it was serves the next execution on the same tree.

Part of what runs in a place (`cells.py`): Python 3.6 or later, standard library only.

All that can be written lies in one tmpfs (`tree.py`), which holds little: the patch's files, the script. What is there
is listed before and after an execution, with the contents and times of change, which nobody without privileges can set.
"""

import os
import stat
import time

TICKS = 5  # CLOCK_REALTIME_COARSE, for which Python has no name
TICKING = [int(part) for part in os.uname().release.split(".")[:2] if part.isdigit()] < [6, 13]
"""Whether times of change come from a clock that ticks every few milliseconds: later kernels give finer ones."""
MOST_FILES, MOST_BYTES = 2000, 4 << 20
"""A workspace in which there is more is not kept: looking would take longer than making another one."""

TYPE_CHECKING = False
if TYPE_CHECKING:  # every process that is forked from the place would carry what an import brings
    from typing import Any, Dict, List, Optional, Tuple


class Writings:
    """What lies in a workspace's tmpfs."""

    def __init__(self, folder: str) -> None:
        """`folder`: where the tmpfs is mounted, as long as it can be seen."""
        self.folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self.files: "List[str]" = []
        """Written for the execution, by their paths; the folders made for them."""
        self.folders: "List[str]" = []
        self.changed = False
        """Something was changed that cannot be taken back."""

    def about_to_write(self, path: str) -> None:
        """Before a file is written for the execution: what `take_back` has to do."""
        if path in self.files:
            return
        if os.path.lexists(path):
            self.changed = True
            return
        self.files.append(path)
        missing: "List[str]" = []
        folder = os.path.dirname(path)
        while not os.path.lexists(folder):
            missing.append(folder)
            folder = os.path.dirname(folder)
        self.folders += reversed(missing)

    def take_back(self) -> bool:
        """Delete what was written for the execution. False where the workspace is not as it was."""
        try:
            for path in self.files:
                os.unlink(path)
            for folder in reversed(self.folders):
                os.rmdir(folder)
        except OSError:
            self.changed = True
        del self.files[:], self.folders[:]
        return not self.changed

    def seen(self) -> "Any":
        """What is there before an execution, for `as_seen`."""
        found = self.listed()
        newest = max(status[-1] for status, _ in found.values()) if TICKING and found else 0
        if newest >= time.clock_gettime(TICKS) * 1e9 - 1000:
            time.sleep(time.clock_getres(TICKS))  # a change within the same tick would have the same time
        return self.files_in_use(), found

    def as_seen(self, before: "Any") -> bool:
        """Whether the same is there after it. Where there are more files, they need not be listed: they may be many."""
        files, found = before
        return found is not None and self.files_in_use() == files and self.listed() == found

    def files_in_use(self) -> int:
        room = os.statvfs(self.folder)
        return room.f_files - room.f_ffree

    def listed(self) -> "Optional[Dict[str, Any]]":
        """Every file and folder in it, by its path, with its content; also the workspace's /dev, a tmpfs of its own.

        None where that is too much, or cannot be said.
        """
        found: "Dict[str, Any]" = {"/dev": (told(os.lstat("/dev")), b"")}
        waiting = [""]
        left = MOST_BYTES
        try:
            while waiting:
                folder = waiting.pop()
                for entry in self.entries(folder):
                    path = folder + "/" + entry if folder else entry
                    status = os.lstat(path, dir_fd=self.folder)
                    content, kind = b"", stat.S_IFMT(status.st_mode)
                    if kind == stat.S_IFREG:
                        # A file that is mapped into memory can be written to without a new time of change.
                        left -= status.st_size
                        content = self.content(path) if left >= 0 else b""
                    elif kind == stat.S_IFDIR and (folder or not entry.startswith("work")):  # overlays' own
                        waiting.append(path)
                    found[path] = told(status), content
                    if left < 0 or len(found) > MOST_FILES:
                        return None
        except OSError:
            return None  # a folder that nobody may look into, or too deep a one
        return found

    def entries(self, folder: str) -> "List[str]":
        fd = os.open(folder or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=self.folder)
        try:
            return os.listdir(fd)
        finally:
            os.close(fd)

    def content(self, path: str) -> bytes:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=self.folder), "rb") as file:
            return file.read()


def told(status: os.stat_result) -> "Tuple[int, ...]":
    return (
        status.st_dev, status.st_ino, status.st_mode, status.st_nlink, status.st_uid, status.st_gid, status.st_size,
        status.st_mtime_ns, status.st_ctime_ns,
    )  # fmt: skip
