"""Control groups that hold a place, where this machine lets us make some.

Version 1 has a tree of folders for each controller, version 2 one for all. Either way ours are made below the group
we are in, or, in version 2, where groups with processes have no children, below the nearest one above that takes them.
"""

from __future__ import annotations

import os
import posixpath
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from sandbox.base import Limits
from sandbox.errors import SandboxTimeout
from sandbox.host import run_host

_PREFIX = "bestpatch-"
_NEEDED = ("memory", "pids")
_PERIOD = 100_000
"""Microseconds; the kernel's default."""
_END_SECONDS = 15.0


@dataclass(frozen=True)
class Cgroup:
    """One group for each of the controllers memory, pids and, where it can be had, cpu."""

    folders: dict[str, Path]
    unified: bool

    @property
    def procs(self) -> list[Path]:
        """The files that a process' number is written to."""
        return sorted({folder / "cgroup.procs" for folder in self.folders.values()})

    def mounts(self) -> list[str]:
        """Arguments for bwrap: the groups, not to be written, where a program in a container looks for its own."""
        places = {"/sys/fs/cgroup": self.folders["memory"]} if self.unified else {}
        if not self.unified:
            places = {f"/sys/fs/cgroup/{name}": folder for name, folder in self.folders.items()}
        return [word for place, folder in places.items() for word in ("--ro-bind", str(folder), place)]

    def another(self) -> Cgroup:
        """One more beside it, without trying again what can be made here. Raises OSError."""
        name = _name()
        cgroup = Cgroup({kind: folder.parent / name for kind, folder in self.folders.items()}, self.unified)
        for folder in {*cgroup.folders.values()}:
            folder.mkdir()
        return cgroup

    def limit(self, limits: Limits) -> None:
        """Raises OSError."""
        memory, quota = str(limits.memory_bytes), str(int(limits.cpus * _PERIOD))
        if self.unified:
            self._put("memory", "memory.max", memory)
            self._put("memory", "memory.swap.max", "0", optional=True)
            self._put("cpu", "cpu.max", f"{quota} {_PERIOD}", optional=True)
        else:
            names = ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"]
            folder = self.folders["memory"]
            if not (folder / names[1]).exists():  # a kernel that does not count swap
                names.pop()
            elif int((folder / names[1]).read_text()) < limits.memory_bytes:
                names.reverse()  # the second may never be less than the first
            for name in names:
                self._put("memory", name, memory)
            self._put("cpu", "cpu.cfs_quota_us", quota, optional=True)
        self._put("pids", "pids.max", str(limits.processes))

    def _put(self, controller: str, name: str, text: str, *, optional: bool = False) -> None:
        folder = self.folders.get(controller)
        if folder is None or (optional and not (folder / name).exists()):
            return
        (folder / name).write_text(text)

    def remove(self) -> None:
        """End what still runs in them. Safe to call twice. Raises SandboxTimeout."""
        deadline = time.monotonic() + _END_SECONDS
        for folder in {*self.folders.values()}:
            while folder.exists():
                with suppress(OSError):
                    folder.rmdir()
                    break
                for pid in _processes(folder):
                    with suppress(ProcessLookupError):
                        os.kill(pid, 9)
                if time.monotonic() > deadline:
                    raise SandboxTimeout(f"processes in {folder} do not end")
                time.sleep(0.01)


def make_cgroup(own: str | None = None, mountinfo: str | None = None) -> Cgroup | None:
    """Groups that a process of ours can be put into; None where there are none. What dead runs left is removed.

    `own` and `mountinfo` are the texts of /proc/self/cgroup and /proc/self/mountinfo.
    """
    own = Path("/proc/self/cgroup").read_text() if own is None else own
    mountinfo = Path("/proc/self/mountinfo").read_text() if mountinfo is None else mountinfo
    name = _name()
    ours = dict(_ours(own, mountinfo))
    if all(controller in ours for controller in _NEEDED):
        return _made(Cgroup({c: ours[c] / name for c in (*_NEEDED, "cpu") if c in ours}, unified=False))
    if "" not in ours:
        return None
    top, folder = _mounted(mountinfo)["cgroup2"], ours[""]
    while folder == top or top in folder.parents:
        with suppress(OSError):
            for controller in (*_NEEDED, "cpu"):
                with suppress(OSError):
                    (folder / "cgroup.subtree_control").write_text(f"+{controller}")
            made = _made(Cgroup(dict.fromkeys((*_NEEDED, "cpu"), folder / name), unified=True))
            if made is not None:
                return made
        folder = folder.parent
    return None


def _name() -> str:
    return f"{_PREFIX}{os.getpid()}-{uuid.uuid4().hex[:12]}"


def _made(cgroup: Cgroup) -> Cgroup | None:
    """Make the folders and see whether they do what is needed of them."""
    try:
        for folder in {*cgroup.folders.values()}:
            _reap(folder.parent)
            folder.mkdir()
        cgroup.limit(replace(Limits(), cpus=1.0))
        trial = ["/bin/sh", "-c", 'for file; do echo $$ >"$file" || exit 1; done', "sh", *map(str, cgroup.procs)]
        if run_host(trial, _END_SECONDS)[0] == 0:
            return cgroup
    except OSError:
        pass
    for folder in {*cgroup.folders.values()}:
        with suppress(OSError):
            folder.rmdir()
    return None


def _ours(own: str, mountinfo: str) -> Iterator[tuple[str, Path]]:
    """Controller ("" for version 2) and the folder of our own group."""
    mounts = _mounted(mountinfo)
    roots = {kind: line.split()[3] for line in mountinfo.splitlines() for kind in _kinds(line)}
    for line in own.splitlines():
        number, names, path = line.split(":", 2)
        for name in names.split(",") if number != "0" else [""]:
            kind = name or "cgroup2"
            if kind in mounts:
                below = posixpath.relpath(path, roots[kind])
                # A path that leaves what is mounted belongs to a namespace above ours.
                yield name, mounts[kind] if below.startswith("..") else mounts[kind] / below


def _mounted(mountinfo: str) -> dict[str, Path]:
    """Controller, or cgroup2 -> where it is mounted."""
    return {kind: Path(line.split()[4]) for line in mountinfo.splitlines() for kind in _kinds(line)}


def _kinds(line: str) -> list[str]:
    kind, _, options = line.partition(" - ")[2].split(" ", 2)
    return ["cgroup2"] if kind == "cgroup2" else options.split(",") if kind == "cgroup" else []


def _reap(folder: Path) -> None:
    """Remove empty groups of processes that are no more."""
    for left in folder.glob(f"{_PREFIX}*"):
        owner = re.match(rf"{_PREFIX}(\d+)-", left.name)
        if owner and not Path(f"/proc/{owner[1]}").exists():
            with suppress(OSError):
                left.rmdir()


def _processes(folder: Path) -> list[int]:
    try:
        return [int(line) for line in (folder / "cgroup.procs").read_text().split()]
    except OSError:
        return []
