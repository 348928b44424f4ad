"""Places of the bubblewrap backend: one `bwrap` each, reached over pipes."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import replace

from sandbox import inside
from sandbox.base import Limits
from sandbox.cgroup import Cgroup
from sandbox.descriptors import arrived
from sandbox.errors import SandboxLost, SandboxTimeout
from sandbox.place import Place
from sandbox.profile import with_place
from sandbox.seccomp import place_filter
from sandbox.unpacked import Unpacked
from sandbox.walls import readable, start, walls

_END_SECONDS = 10.0
_OWN_PROCESSES = 3
"""In a cell's user namespace: the keeper with its parent, and init."""


def start_place(
    image: Unpacked,
    run_id: str,
    limits: Limits,
    open_files: int,
    starter: Executor,
    group: Cgroup | None,
    python: str = "",
) -> Place:
    """Start a place, held by a control group like that one. Blocks. Raises SandboxLost, SandboxTimeout.

    `starter` runs it in a thread that lives as long as the place: where that thread ends, the kernel ends the place,
    as if this process had ended. `python`: see `inside.entry`.
    """
    cgroup: Cgroup | None = None
    try:
        cgroup = group.another() if group is not None else None
        if cgroup is not None:
            cgroup.limit(_outer(limits))
        with readable(place_filter(platform.machine())) as filter_:
            env = {"PATH": image.path, "LANG": "C.UTF-8", "BESTPATCH_RUN": run_id}
            more = ["--as-pid-1", "--tmpfs", "/sys", *(cgroup.mounts() if cgroup else []), "--remount-ro", "/sys"]
            if image.uid == 0:  # the kernel asks for it before user 0 may be user 0 of another namespace, a cell's
                more += ["--cap-add", "CAP_SETFCAP"]
            argv = walls(image.root, uid=image.uid, gid=image.gid, env=env, seccomp=filter_, more=more)
            argv += [*inside.entry(python), *inside.arguments(*inside.CELLS)]
            procs = cgroup.procs if cgroup else []
            process = starter.submit(start, argv, fds=[filter_], procs=procs, open_files=open_files).result()
    except OSError as error:
        if cgroup is not None:
            cgroup.remove()
        raise SandboxLost(f"a place could not be started: {error}") from error
    wire = PipeWire(process, cgroup)
    try:
        return Place(wire, limits)
    except BaseException:
        wire.end()
        raise


class PipeWire:
    """The standard streams of a process. Implements `sandbox.place.Wire`."""

    def __init__(self, process: subprocess.Popen[bytes], cgroup: Cgroup | None) -> None:
        assert process.stdin is not None  # noqa: S101 - for the type checker: they are pipes
        assert process.stdout is not None  # noqa: S101
        assert process.stderr is not None  # noqa: S101
        self._process = process
        self._cgroup = cgroup
        self._streams = process.stdin, process.stdout, process.stderr
        self._in, self._out, self._err = (stream.fileno() for stream in self._streams)
        self._words = bytearray()

    def send(self, data: bytes) -> None:
        """See Wire.send."""
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._in, rest) :]
        except OSError as error:
            raise SandboxLost(f"a place's input broke: {error}") from error

    def receive(self, seconds: float) -> bytes | None:
        """See Wire.receive."""
        ready = arrived([self._out, self._err], seconds)
        if self._err in ready:
            self._say(os.read(self._err, 1 << 16))
        return os.read(self._out, 1 << 18) if self._out in ready else None

    def limit(self, limits: Limits) -> None:
        """See Wire.limit."""
        try:
            if self._cgroup is not None:
                self._cgroup.limit(_outer(limits))
        except OSError as error:
            raise SandboxLost(f"a place's limits could not be changed: {error}") from error

    def rlimits(self, limits: Limits) -> Mapping[str, int]:
        """See Wire.rlimits. The kernel counts processes by user namespace, so each workspace has its own count."""
        if self._cgroup is not None:
            return {}
        return {"RLIMIT_DATA": limits.memory_bytes, "RLIMIT_NPROC": limits.processes + _OWN_PROCESSES}

    def end(self) -> None:
        """See Wire.end. A place whose pipes are closed ends by itself, its processes before it."""
        for stream in self._streams[:2]:
            stream.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()  # bwrap, and what is in it dies with it
            try:
                self._process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                raise SandboxTimeout("a place does not end") from None
        finally:
            self._streams[2].close()
            if self._cgroup is not None:
                self._cgroup.remove()

    def last_words(self) -> str:
        """See Wire.last_words."""
        while arrived([self._err], 0) and (data := os.read(self._err, 1 << 16)):
            self._say(data)
        return self._words.decode("utf-8", "replace")

    def _say(self, data: bytes) -> None:
        self._words += data
        del self._words[:-4000]


def _outer(limits: Limits) -> Limits:
    """The limits with what the place itself needs on top: bwrap's own process beside those of every place."""
    more = with_place(limits)
    return replace(more, processes=more.processes + 1)
