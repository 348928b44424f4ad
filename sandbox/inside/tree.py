"""A workspace's tree: the image's folders under overlays, what is written in one tmpfs.

Part of what runs in a place (`cells.py`): Python 3.6 or later, standard library only.
"""

import os
import stat

from sandbox.inside.kernel import BIND, NODEV, NOEXEC, NOSUID, PRIVATE, RDONLY, REC, REMOUNT, STRICT, called, mount

TYPE_CHECKING = False
if TYPE_CHECKING:  # every process that is forked from the place would carry what an import brings
    from typing import List, Optional

STAGE = "/opt/bestpatch/run"
ETC = "/opt/bestpatch/etc"  # a copy: engines mount files over the image's own, and such a folder cannot be overlaid
SMALL_FILE = 1 << 20


class Tree:
    """The image's folders under overlays; what is written lies in one tmpfs."""

    def __init__(self, size: int, inodes: int, writable: "Optional[List[str]]" = None) -> None:
        """`writable`: the only folders that may be written; None where the owners of the image's files decide."""
        self.writable = writable
        mount("none", "/", None, REC | PRIVATE)
        mount("cell", STAGE, "tmpfs", NOSUID | NODEV, "mode=755,size=%d,nr_inodes=%d" % (size, inodes))
        self.root = STAGE + "/root"
        self.count = 0
        os.mkdir(self.root)
        mount(self.root, self.root, None, BIND)

    def cover(self, path: str, depth: int = 0) -> None:
        """Show a part of the image at its place in the new root."""
        status = os.lstat(path)
        target = self.root + path
        if stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(path), target)
        elif stat.S_ISREG(status.st_mode):
            if status.st_size <= SMALL_FILE and os.access(path, os.R_OK):
                with open(path, "rb") as source, open(target, "wb") as copy:
                    copy.write(source.read())
                os.chmod(target, stat.S_IMODE(status.st_mode))
        elif stat.S_ISDIR(status.st_mode):
            os.mkdir(target)
            os.chmod(target, mode_for_us(status))
            if os.access(path, os.R_OK) and not os.listdir(path):
                return  # nothing to lie over
            try:
                self.overlay(ETC if path == "/etc" and os.path.isdir(ETC) else path, target, status)
            except OSError:
                # Something of the engine's is mounted below, which must not be uncovered: overlay what lies around it.
                if depth == 3 or not os.access(path, os.R_OK):
                    raise
                for name in os.listdir(path):
                    self.cover(path + "/" + name, depth + 1)

    def overlay(self, lower: str, target: str, status: os.stat_result) -> None:
        upper, work = ("%s/%s%d" % (STAGE, kind, self.count) for kind in ("upper", "work"))
        self.count += 1
        os.mkdir(upper)
        os.mkdir(work)
        os.chmod(upper, mode_for_us(status))
        where = "lowerdir=%s,upperdir=%s,workdir=%s,userxattr" % (lower.replace(":", "\\:"), upper, work)
        fixed = self.writable is not None and target[len(self.root) :] not in self.writable
        mount("cell", target, "overlay", NOSUID | NODEV | (RDONLY if fixed else 0), where)

    def own(self, path: str) -> None:
        """An overlay of its own for a folder of ours below one that is not: a file there could not be made otherwise,
        because the folders above it would have to be copied, and their owner is unknown in our user namespace. The same
        where the one above may not be written."""
        above = path
        if self.writable is None:
            above = os.path.dirname(path)
            while above.count("/") > 1 and os.lstat(above).st_uid == os.getuid():
                above = os.path.dirname(above)
        if above.count("/") > 1 and os.path.isdir(self.root + path):
            self.overlay(path, self.root + path, os.lstat(path))

    def devices(self) -> None:
        dev = self.root + "/dev"
        os.mkdir(dev)
        mount("cell", dev, "tmpfs", NOSUID, "mode=755,size=64k")
        for name in ("null", "zero", "full", "random", "urandom", "tty"):
            os.close(os.open(dev + "/" + name, os.O_CREAT | os.O_WRONLY))
            mount("/dev/" + name, dev + "/" + name, None, BIND)
            # The device takes what is written all the same; its mode and times are not to be changed for others.
            mount("/dev/" + name, dev + "/" + name, None, BIND | REMOUNT | RDONLY | NOSUID)
        for path, name in (("/proc/self/fd", "fd"), ("fd/0", "stdin"), ("fd/1", "stdout"), ("fd/2", "stderr")):
            os.symlink(path, dev + "/" + name)
        for name in ("shm", "pts"):
            os.mkdir(dev + "/" + name)
        os.mkdir(STAGE + "/shm")
        os.chmod(STAGE + "/shm", 0o1777)
        mount(STAGE + "/shm", dev + "/shm", None, BIND)
        try:
            mount("cell", dev + "/pts", "devpts", NOSUID | NOEXEC, "newinstance,ptmxmode=0666,mode=0620")
            os.symlink("pts/ptmx", dev + "/ptmx")
        except OSError:
            pass  # no terminals, then

    def enter(self) -> None:
        for name in ("/proc", "/sys"):
            os.mkdir(self.root + name)
            mount(name, self.root + name, None, BIND | REC)
        if os.path.isdir("/sys/firmware"):
            mount("cell", self.root + "/sys/firmware", "tmpfs", STRICT | RDONLY, "size=4k")
        os.chdir(self.root)
        called("pivot_root", b".", b".")
        called("umount2", b".", 2)
        os.chdir("/")


def mode_for_us(status: os.stat_result) -> int:
    """The folder's mode with what we may do in it as the owner's part, for in the overlay we are its owner."""
    mode = stat.S_IMODE(status.st_mode)
    if status.st_uid == os.getuid():
        return mode
    ours = mode >> 3 if status.st_gid == os.getgid() else mode
    return mode & ~0o700 | (ours & 7) << 6
