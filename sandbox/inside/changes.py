"""Whether an execution has changed its workspace: one that is as it was serves the next execution on the same tree.

Part of what runs in a place (`cells.py`): Python 3.6 or later, standard library only.

All that can be written lies in one tmpfs (`tree.py`), which holds little: the patch's files, the script. What is there
is listed before and after an execution, with the times of change, which nobody without privileges can set.
"""

import os
import time

TICKS = 5  # CLOCK_REALTIME_COARSE, for which Python has no name
TICKING = [int(part) for part in os.uname().release.split(".")[:2] if part.isdigit()] < [6, 13]
"""Whether times of change come from a clock that ticks every few milliseconds: later kernels give finer ones."""

TYPE_CHECKING = False
if TYPE_CHECKING:  # every process that is forked from the place would carry what an import brings
    from typing import Any, Dict, List, Tuple


class Writings:
    """What lies in a workspace's tmpfs."""

    def __init__(self, folder: str) -> None:
        """`folder`: where the tmpfs is mounted, as long as it can be seen."""
        self.folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self.files: "List[str]" = []
        """Written for the execution, by their paths; the folders made for them."""
        self.folders: "List[str]" = []
        self.other = False
        """Something was changed that cannot be taken back."""

    def about_to_write(self, path: str) -> None:
        """Before a file is written for the execution: what `take_back` has to do."""
        if path in self.files:
            return
        if os.path.lexists(path):
            self.other = True
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
            self.other = True
        del self.files[:], self.folders[:]
        return not self.other

    def seen(self) -> "Any":
        """What is there before an execution, for `as_seen`; None where that cannot be said."""
        try:
            found = self.files_in_use(), self.listed()
        except OSError:
            return None  # a folder that nobody may look into, or too deep a one
        if TICKING and max(status[-1] for status in found[1].values()) >= time.clock_gettime_ns(TICKS):
            time.sleep(time.clock_getres(TICKS))  # a change within the same tick would have the same time
        return found

    def as_seen(self, before: "Any") -> bool:
        """Whether the same is there after it. Where there are more files, they need not be listed: they may be many."""
        return before is not None and self.files_in_use() == before[0] and self.seen() == before

    def files_in_use(self) -> int:
        room = os.statvfs(self.folder)
        return room.f_files - room.f_ffree

    def listed(self) -> "Dict[str, Any]":
        """Every file and folder in it, by its path; also the workspace's /dev, a tmpfs of its own."""
        found: "Dict[str, Any]" = {"/dev": told(os.lstat("/dev"))}
        waiting = [""]
        while waiting:
            folder = waiting.pop()
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=self.folder) if folder else -1
            try:
                for entry in os.listdir(fd if folder else self.folder):
                    path = folder + "/" + entry if folder else entry
                    status = os.lstat(path, dir_fd=self.folder)
                    found[path] = told(status)
                    # An overlay's work folder is the kernel's own.
                    if status.st_mode & 0o170000 == 0o040000 and not (not folder and entry.startswith("work")):
                        waiting.append(path)
            finally:
                if folder:
                    os.close(fd)
        return found


def told(status: os.stat_result) -> "Tuple[int, ...]":
    return (
        status.st_dev, status.st_ino, status.st_mode, status.st_nlink, status.st_uid, status.st_gid, status.st_size,
        status.st_mtime_ns, status.st_ctime_ns,
    )  # fmt: skip
