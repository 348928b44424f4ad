"""A root file system in the making: files are unpacked into it, and commands run in it behind walls, with network.

Everything here blocks, and ends early once `cancelled` is set. What goes wrong is EnvironmentUnavailable.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from sandbox import inside
from sandbox.base import digest_of
from sandbox.build_context import Context, context_of
from sandbox.builder import Say
from sandbox.descriptors import arrived
from sandbox.errors import EnvironmentUnavailable
from sandbox.host import run_host
from sandbox.seccomp import build_filter
from sandbox.walls import NOBODY, readable, user, walls

_LOOK_SECONDS = 0.5
_LOG_BYTES = 20_000
PATH = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"


class Rootfs:
    """An empty folder that becomes a root file system, by `build_seconds` from now."""

    def __init__(self, folder: Path, build_seconds: float, say: Say, cancelled: threading.Event) -> None:
        folder.mkdir()
        os.chown(folder, user(), user() if os.geteuid() == 0 else -1)
        self.folder = folder
        self.say = say
        self._deadline = time.monotonic() + build_seconds
        self._cancelled = cancelled
        self._shared: list[str] = []

    def copy(self, other: Path, shared: Sequence[str] = ()) -> None:
        """Take all files of a finished root file system of ours; where the disk can, without copying their content.

        `shared`: folders of it, two levels below the root at most, whose files stay one with the other's: no command
        that runs here can write there.
        """
        self._shared = list(shared)
        above = {os.path.dirname(path) for path in shared} - {""}
        copied: list[str] = []
        for folder in ("", *above):
            if folder:
                (self.folder / folder).mkdir()
                shutil.copystat(other / folder, self.folder / folder)
                os.chown(self.folder / folder, user(), user() if os.geteuid() == 0 else -1)
            paths = [os.path.join(folder, name) for name in os.listdir(other / folder)]
            copied += [path for path in paths if path not in shared and path not in above]
        for how, paths in (("-al", self._shared), ("-a", copied)):
            if paths:
                argv = ["cp", how, "--parents", "--reflink=auto", "--", *paths, f"{self.folder}/"]
                self._drain(_start(argv, cwd=other), "copying a base image")

    def unpack_folder(self, folder: Path) -> None:
        """Take the files of a folder that is a root file system, written by anybody."""
        argv = ["tar", "-C", str(folder), "--one-file-system", "-cf", "-"]
        argv += ["--exclude=./proc/*", "--exclude=./sys/*", "--exclude=./dev/*", "."]
        env, began = {**os.environ, "LC_ALL": "C"}, time.time()
        with subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env
        ) as tar:
            assert tar.stdout is not None  # noqa: S101 - for the type checker: it is a pipe
            assert tar.stderr is not None  # noqa: S101
            failed: EnvironmentUnavailable | None = None
            try:
                self.unpack(tar.stdout)
            except EnvironmentUnavailable as error:
                failed = error
            tar.stdout.close()
            words = tar.stderr.read().decode("utf-8", "replace")
        linked = tar.returncode == 1 and all(_only_linked(folder, line, began) for line in words.splitlines())
        if tar.returncode not in (0, -signal.SIGPIPE) and not linked:
            raise EnvironmentUnavailable(f"{folder} cannot be read", words[-_LOG_BYTES:]) from failed
        if failed is not None:
            raise failed

    def fill(self, fill: Callable[[Context], None]) -> None:
        """Add files, as to a build context."""
        with context_of(fill) as file:
            self.unpack(file)

    def unpack(self, archive: IO[bytes]) -> None:
        """Unpack a tar archive, compressed or not, written by anybody."""
        argv = [sys.executable, "-I", "-S", *inside.arguments("kernel", "unpack"), str(NOBODY)]
        process = _start(argv, cwd=self.folder, stdin=subprocess.PIPE)
        feeder = threading.Thread(target=_feed, args=(archive, process), daemon=True)
        feeder.start()
        try:
            self._drain(process, "unpacking an archive")
        finally:
            feeder.join()

    def run(self, command: str, *arguments: str, env: Mapping[str, str], cwd: str = "/", what: str = "") -> str:
        """Run a shell command as root in name. Gives the end of what it printed."""
        self.say((what or command).strip()[:200])
        whole = {"PATH": PATH, "HOME": "/root", **env}
        guards = [word for path in self._shared for word in ("--ro-bind", f"{self.folder}/{path}", f"/{path}")]
        more = [*guards, "--share-net", "--cap-add", "ALL", "--chdir", cwd]
        with readable(build_filter(platform.machine())) as filter_:
            argv = walls(self.folder, uid=0, gid=0, env=whole, seccomp=filter_, writable=True, more=more)
            argv += ["/bin/sh", "-ec", command, *arguments]
            return self._drain(_start(argv, fds=[filter_]), f"`{(what or command)[:200]}`")

    def _drain(self, process: subprocess.Popen[bytes], what: str) -> str:
        log = bytearray()
        assert process.stdout is not None  # noqa: S101 - for the type checker: it is a pipe
        try:
            with process.stdout as out:
                while True:
                    if self._cancelled.is_set():
                        raise EnvironmentUnavailable("the image build was interrupted", _text(log))
                    if time.monotonic() > self._deadline:
                        raise EnvironmentUnavailable(
                            "the image build took too long; raise sandbox.build_seconds", _text(log)
                        )
                    if arrived([out], _LOOK_SECONDS):
                        data = os.read(out.fileno(), 1 << 16)
                        if not data:
                            break
                        log += data
                        del log[:-_LOG_BYTES]
        except BaseException:
            process.kill()
            raise
        finally:
            code = process.wait()
        if code != 0:
            told = [line for line in _text(log).splitlines() if line.startswith("bestpatch: ")]
            why = told[-1].removeprefix("bestpatch: ") if told else f"it ended with {code}"
            raise EnvironmentUnavailable(f"{what} failed while an image was built: {why}", _text(log))
        return _text(log)


def _only_linked(folder: Path, line: str, began: float) -> bool:
    """Whether tar complains of a file whose times changed while it was read, and not what is in it: another image that
    shares the file made a link of it. A tenth of a second is more than the clock of file systems is behind."""
    told = re.fullmatch(r"tar: (.+): file changed as we read it", line)
    try:
        return told is not None and os.lstat(folder / told[1]).st_mtime < began - 0.1
    except OSError:
        return False


def _start(
    argv: Sequence[str], *, cwd: Path = Path("/"), stdin: int = subprocess.DEVNULL, fds: Sequence[int] = ()
) -> subprocess.Popen[bytes]:
    out = subprocess.PIPE
    return subprocess.Popen(argv, cwd=cwd, stdin=stdin, stdout=out, stderr=subprocess.STDOUT, pass_fds=fds)


def _feed(archive: IO[bytes], process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None  # noqa: S101 - for the type checker: it is a pipe
    try:
        with process.stdin as into:
            shutil.copyfileobj(archive, into, 1 << 20)
    except OSError:
        return  # it ended early, and says why


def _text(log: bytes | bytearray) -> str:
    return log.decode("utf-8", "replace")


def content_digest(folder: Path, base: tuple[Path, str] | None = None, shared: Sequence[str] = ()) -> str:
    """Names what is in a folder: paths, kinds, permissions, contents, but no times.

    `base`: the folder that it was a copy of, and that one's digest. Then only what differs is read; a file of the same
    time (in nanoseconds), size and permissions does not, nor does anything in the folders that the two share.
    """
    total = hashlib.sha256()
    old = _listing(base[0], shared) if base else {}
    if base:
        total.update(base[1].encode())
    new = _listing(folder, shared)
    for path in sorted(old.keys() - new.keys()):
        total.update(digest_of("gone", path).encode())
    for path, status in sorted(new.items()):
        if path in old and _same(status, old[path]):
            continue
        total.update(digest_of(path, oct(status.st_mode)).encode())
        if stat.S_ISLNK(status.st_mode):
            total.update(digest_of(os.readlink(folder / path)).encode())
        elif stat.S_ISREG(status.st_mode):
            with open(folder / path, "rb") as file:
                total.update(hashlib.file_digest(file, "sha256").digest())
    return f"sha256:{total.hexdigest()}"


def _listing(folder: Path, without: Sequence[str]) -> dict[str, os.stat_result]:
    """All that is below a folder, by path, except what is below those."""
    found: dict[str, os.stat_result] = {}
    waiting = [""]
    while waiting:
        here = waiting.pop()
        with os.scandir(folder / here) as entries:
            for entry in entries:
                path = f"{here}{entry.name}"
                found[path] = entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False) and path not in without:
                    waiting.append(f"{path}/")
    return found


def _same(one: os.stat_result, other: os.stat_result) -> bool:
    if one.st_mode != other.st_mode:
        return False
    return stat.S_ISDIR(one.st_mode) or (one.st_size, one.st_mtime_ns) == (other.st_size, other.st_mtime_ns)


def remove_tree(folder: Path) -> None:
    """Remove a root file system, folders included that its owner may not write to. Files stay as they are: they may be
    one with another's."""
    if folder.exists():
        run_host(["find", str(folder), "-type", "d", "!", "-perm", "-700", "-exec", "chmod", "u+rwx", "{}", "+"], 600)
        shutil.rmtree(folder)
