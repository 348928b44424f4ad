"""Unpacks a tar archive from standard input into the working folder, as the root file system that it is.

Archives are written by strangers. So the folder is made this process' root first: a link or path in the archive leads
nowhere else. The owner of all files is the user who runs this, or the one given where that is root; owners, devices
and the bits that give away privileges are left out. Of an image's layers, which come one after the other, a file
`.wh.NAME` takes NAME away, and `.wh..wh..opq` all that earlier layers put into its folder.

    python -c PROGRAM [USER]      Python 3.11 or later: it is the host's
"""

import importlib
import os
import shutil
import stat
import sys
import tarfile
from typing import Set

from sandbox.inside.kernel import NEWNS, NEWUSER, called, prctl, put

WHITEOUT, OPAQUE = ".wh.", ".wh..wh..opq"


def enter(user: int) -> None:
    """Become root in name only, of the working folder only."""
    for name in ("bz2", "gzip", "lzma", "zlib"):  # what is not loaded by now cannot be loaded any more
        importlib.import_module(name)
    if os.getuid() == 0:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
        prctl(4, 1)  # PR_SET_DUMPABLE: or /proc/self would be root's
    uid, gid = os.getuid(), os.getgid()
    called("unshare", NEWUSER | NEWNS)
    put("/proc/self/setgroups", "deny")
    put("/proc/self/uid_map", "0 %d 1" % uid)
    put("/proc/self/gid_map", "0 %d 1" % gid)
    os.chroot(".")
    os.chdir("/")
    os.umask(0o022)


def remove(path: str) -> None:
    if not os.path.lexists(path):
        return
    if stat.S_ISDIR(os.lstat(path).st_mode):
        shutil.rmtree(path)
    else:
        os.unlink(path)


class Unpacking:
    def __init__(self, tar: tarfile.TarFile) -> None:
        self.tar = tar
        self.made: Set[str] = set()

    def take(self, member: tarfile.TarInfo) -> None:
        parts = [part for part in member.name.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise ValueError("a path leaves the archive: %r" % member.name)
        if not parts:
            return
        folder, name = "/" + "/".join(parts[:-1]), parts[-1]
        path = os.path.join(folder, name)
        if name == OPAQUE:
            for other in os.listdir(folder) if os.path.isdir(folder) else []:
                if os.path.join(folder, other) not in self.made:
                    remove(os.path.join(folder, other))
            return
        if name.startswith(WHITEOUT):
            remove(os.path.join(folder, name[len(WHITEOUT) :]))
            return
        if not (member.isdir() or member.isreg() or member.issym() or member.islnk()):
            return
        os.makedirs(folder, exist_ok=True)
        if not (member.isdir() and os.path.isdir(path) and not os.path.islink(path)):
            remove(path)
        self.put(member, path)
        for above in range(len(parts)):
            self.made.add("/" + "/".join(parts[: above + 1]))

    def put(self, member: tarfile.TarInfo, path: str) -> None:
        if member.issym():
            os.symlink(member.linkname, path)
        elif member.islnk():
            os.link("/" + member.linkname.lstrip("/"), path, follow_symlinks=False)
        elif member.isdir():
            os.makedirs(path, exist_ok=True)
            os.chmod(path, member.mode & 0o1777 | 0o700)
        else:
            data = self.tar.extractfile(member)
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with open(fd, "wb") as file:
                if data is not None:
                    shutil.copyfileobj(data, file, 1 << 20)
            os.chmod(path, member.mode & 0o777)
            os.utime(path, (member.mtime, member.mtime))


def main() -> None:
    enter(int(sys.argv[-1]))
    with tarfile.open(fileobj=sys.stdin.buffer, mode="r|*") as tar:
        unpacking = Unpacking(tar)
        for member in tar:
            unpacking.take(member)
    while sys.stdin.buffer.read(1 << 20):
        pass  # the padding after the archive's end: its writer must not see a broken pipe
