"""A place: a container (or bubblewrap sandbox) that stays warm and serves cells, seen from the host.

`inside/cells.py` runs in it and holds one workspace at a time. What is exchanged, and how a place is walled in, is
written there. Everything here blocks: call it in a worker thread.
"""

from __future__ import annotations

import json
import struct
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sandbox import inside
from sandbox.base import OUT_OF_CPU, UNEDITED, Ended, Limit, Limits, Patch
from sandbox.errors import SandboxLost, SandboxTimeout, WorkspaceError
from sandbox.execute import Raw
from sandbox.output import Ring
from sandbox.seccomp import command_filter

_OURS = (["-c", inside.source("witness.py").decode()], inside.arguments(*inside.GIT_TOOL))
"""Programs of ours, which a place runs in its own interpreter."""
_POLL_SECONDS = 0.25
_ANSWER_SECONDS = 30.0
"""For what takes milliseconds: making a workspace, a file."""
_GRACE_SECONDS = 10.0
"""The place ends a command at its deadline; when it has not done so by then, the whole place is ended."""
_OPEN_SECONDS = 60.0


class Wire(Protocol):
    """How a place is reached."""

    def send(self, data: bytes) -> None:
        """Raises SandboxLost."""
        ...

    def receive(self, seconds: float) -> bytes | None:
        """What came, b"" at the place's end, None when nothing came in that time. Raises SandboxLost."""
        ...

    def limit(self, limits: Limits) -> None:
        """What the place may use from now on. Raises SandboxLost, SandboxTimeout."""
        ...

    def rlimits(self, limits: Limits) -> Mapping[str, int]:
        """What each process is held to, by names of Python's `resource`, where the place as a whole cannot be held."""
        ...

    def end(self) -> None:
        """End all processes of the place and forget it. Safe to call twice. Raises SandboxLost, SandboxTimeout."""
        ...

    def last_words(self) -> str:
        """What the place printed to its standard error."""
        ...


@dataclass(frozen=True)
class FileChange:
    """A file below the repository. `mode` as git's, None: as it is, or 100644; `data` None: it is deleted."""

    path: str
    mode: int | None
    data: bytes | None


@dataclass(frozen=True)
class Room:
    """What a workspace of a place is: the repository, the user's home, and how much may be written into it."""

    repository: str
    home: str
    disk_bytes: int
    files: int
    writable: tuple[str, ...] | None = None
    """The only folders that may be written; None where the owners of the image's files decide."""


class Place:
    """The host's end. `limits` is what the place may use at present. Raises SandboxLost when it does not come up."""

    def __init__(self, wire: Wire, limits: Limits) -> None:
        self.limits = limits
        self.broken = False
        self.patch = UNEDITED
        """What the workspace's tree has been changed by, if what was asked goes well."""
        self._hoping = False
        """Whether `patch` is right only if the place keeps the workspace."""
        self._hoped: tuple[Patch, Sequence[FileChange]] | None = None
        self._wire = wire
        self._buffer = bytearray()
        self._owed: deque[str] = deque()
        """What was asked without waiting, oldest first: the answers are still to come."""
        who = self._answer(time.monotonic() + _OPEN_SECONDS, None)[0]
        self.python, self.uid, self.gid = str(who["python"]), int(who["uid"]), int(who["gid"])
        try:
            self._filter = command_filter(str(who["machine"]))
        except KeyError:
            raise SandboxLost(f"no seccomp filter is known for {who['machine']}") from None

    def open(self, room: Room) -> None:
        """Make a pristine workspace, without waiting. What goes wrong shows at the first use."""
        self.patch, self._hoping = UNEDITED, False
        size = {"size": room.disk_bytes, "inodes": room.files, "writable": room.writable}
        self._tell({"op": "open", "repository": room.repository, "home": room.home, **size}, self._filter)

    def renew(self) -> None:
        """Ask for a pristine workspace on the tree of this one, or else on the unedited one, without waiting.

        The place keeps this one where no execution has changed it: a new one takes as long as a short script.
        """
        self._hoping = True
        self._tell({"op": "renew"})

    def apply(self, patch: Patch, changes: Sequence[FileChange], room: Room) -> None:
        """See to it that the tree of a workspace that was not used yet is the one with the patch, without waiting."""
        self._hoped = None
        if self.patch == patch:
            if self._hoping:  # what is asked next waits for the answer
                self._hoped = patch, changes
            return
        if self.patch != UNEDITED:
            self.close()
            self.open(room)
        if patch != UNEDITED:
            self._change(patch, changes)

    def _change(self, patch: Patch, changes: Sequence[FileChange]) -> None:
        self.patch, self._hoping = patch, False
        files = [(c.path, c.mode, None if c.data is None else len(c.data)) for c in changes]
        self._tell({"op": "files", "files": files}, b"".join(c.data or b"" for c in changes))

    def close(self) -> None:
        """End the workspace; the place is free for the next one."""
        self._tell({"op": "close"})

    def write(self, path: str, data: bytes) -> None:
        """Raises WorkspaceError."""
        self._ask_file({"op": "write", "path": path}, data)

    def read(self, path: str, most: int) -> bytes:
        """Raises WorkspaceError."""
        return self._ask_file({"op": "read", "path": path, "most": most})

    def run(
        self, argv: Sequence[str], cwd: str, env: Mapping[str, str], limits: Limits, cancelled: threading.Event
    ) -> Raw:
        """Run a command to its end, its deadline, or until `cancelled` is set. Raises SandboxLost, SandboxTimeout."""
        if limits != self.limits:
            self._wire.limit(limits)
            self.limits = limits
        start = [self.python, "-I", "-S"]
        here = list(argv[:3]) == start and any(list(argv[3 : 3 + len(ours)]) == ours for ours in _OURS)
        asked = {"op": "run", "argv": list(argv), "cwd": cwd, "env": dict(env), "here": here, "seconds": limits.seconds}
        rlimits = {"RLIMIT_FSIZE": limits.file_bytes, "RLIMIT_CORE": 0, **self._wire.rlimits(limits)}
        if limits.cpu_seconds is not None:
            rlimits["RLIMIT_CPU"] = limits.cpu_seconds
        sizes = {"output_bytes": limits.output_bytes, "memory_bytes": limits.memory_bytes, "rlimits": rlimits}
        self._be_sure()
        started = time.monotonic()
        self._tell({**asked, **sizes})
        answer, data = self._settled(time.monotonic() + limits.seconds + _GRACE_SECONDS, cancelled)
        if answer.get("memory"):
            # The kernel took the keeper for the one to kill, and the workspace went with it.
            self.broken = True
            seconds = time.monotonic() - started
            return Raw(Ended.OUT_OF_MEMORY, None, Ring(limits.output_bytes), seconds, frozenset({Limit.MEMORY}))
        if "why" not in answer:
            raise self._lost(f"an execution could not be started: {answer.get('error', answer)}")
        if answer["why"] == "stopped":
            raise SandboxLost("the workspace was closed while a command ran in it")
        reached = {Limit(name) for name in answer["reached"]}
        ended, code = Ended.EXITED, answer["code"]
        out_of_cpu = limits.cpu_seconds is not None and code == OUT_OF_CPU
        if answer["why"] == "timed out" or out_of_cpu:
            ended, code = Ended.TIMED_OUT, None
            reached.add(Limit.TIME)
        elif code in (137, None) and Limit.MEMORY in reached:
            ended, code = Ended.OUT_OF_MEMORY, None
        elif code is None:
            raise self._lost("an execution's first process was killed")
        ring = Ring.of(data[: answer["head"]], data[answer["head"] :], int(answer["written"]), limits.output_bytes)
        return Raw(ended, code, ring, float(answer["seconds"]), frozenset(reached))

    def end(self) -> None:
        """End the place with all that runs in it. Raises SandboxLost, SandboxTimeout."""
        self.broken = True
        self._wire.end()

    def _ask_file(self, head: Mapping[str, Any], data: bytes = b"") -> bytes:
        self._be_sure()
        self._tell(head, data)
        answer, back = self._settled(time.monotonic() + _ANSWER_SECONDS, None)
        if "error" in answer:
            raise WorkspaceError(answer.get("errno"), answer["error"])
        return back

    def _tell(self, head: Mapping[str, Any], data: bytes = b"") -> None:
        if self.broken:
            raise SandboxLost("the workspace is closed")
        text = json.dumps(head).encode()
        try:
            self._wire.send(struct.pack(">II", len(text), len(data)) + text + data)
        except SandboxLost as lost:
            raise self._lost(str(lost)) from lost
        self._owed.append(head["op"])

    def _settled(self, deadline: float, cancelled: threading.Event | None) -> tuple[Mapping[str, Any], bytes]:
        """The answer to what was sent last; those before it must be good ones."""
        self._catch_up(1)
        answer = self._answer(deadline, cancelled)
        self._owed.popleft()
        return answer

    def _catch_up(self, left: int) -> None:
        """Take the answers to what was asked first, which must be good ones, until so many are left."""
        while len(self._owed) > left:
            answer, _ = self._answer(time.monotonic() + _OPEN_SECONDS, None)
            op = self._owed.popleft()
            if answer and not (answer.get("closed") or answer.get("kept")):
                raise self._lost(f"a workspace could not be made ({op}): {answer.get('error', answer)}")
            if op == "renew" and not answer and self._hoping:
                self.patch = UNEDITED

    def _be_sure(self) -> None:
        """Make the changes of a workspace that was hoped to be kept, and was not."""
        if self._hoped is not None:
            (patch, changes), self._hoped = self._hoped, None
            self._catch_up(0)
            if self.patch != patch:
                self._change(patch, changes)

    def _answer(self, deadline: float, cancelled: threading.Event | None) -> tuple[Mapping[str, Any], bytes]:
        stopped = False
        while (frame := self._frame()) is None:
            left = deadline - time.monotonic()
            if left <= 0:
                self.broken = True
                raise SandboxTimeout("a place did not answer in time")
            if cancelled is not None and cancelled.is_set() and not stopped:
                self._wire.send(_STOP)
                stopped = True
            data = self._wire.receive(min(left, _POLL_SECONDS))
            if data == b"":
                raise self._lost("a place came to its end")
            self._buffer += data or b""
        return frame

    def _frame(self) -> tuple[Mapping[str, Any], bytes] | None:
        if len(self._buffer) < 8:
            return None
        text, data = struct.unpack(">II", self._buffer[:8])
        if len(self._buffer) < 8 + text + data:
            return None
        head = json.loads(self._buffer[8 : 8 + text])
        back = bytes(self._buffer[8 + text : 8 + text + data])
        del self._buffer[: 8 + text + data]
        return head, back

    def _lost(self, message: str) -> SandboxLost:
        self.broken = True
        words = self._wire.last_words().strip()
        return SandboxLost(f"{message}: {words[-500:]}" if words else message)


_STOP_HEAD = json.dumps({"op": "stop"}).encode()
_STOP = struct.pack(">II", len(_STOP_HEAD), 0) + _STOP_HEAD
