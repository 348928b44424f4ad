"""One execution in a container: start it, drain its output, hold it to its deadline, say how it ended.

The command is the container's main process, started anew for each execution. When it ends, or is killed, the
kernel ends every process of the container with it: session leaders, double forks and those that ignore
signals included. Nothing needs to be hunted.
"""

from __future__ import annotations

import contextlib
import math
import shlex
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from docker.utils import socket as docker_socket

from sandbox.base import OUT_OF_CPU, Ended, Execution, Limit, Limits
from sandbox.client import Client, Refused, State
from sandbox.descriptors import arrived
from sandbox.errors import SandboxError, SandboxLost, SandboxTimeout
from sandbox.output import Ring

_socket: Any = docker_socket
_POLL_SECONDS = 0.25
_WATCH_SECONDS = 1.0
_GRACE_SECONDS = 5.0
"""The container's own deadline comes this much later: it ends the container when nobody is left to kill it."""
_KILL_SECONDS = 30.0


@dataclass(frozen=True)
class Raw:
    """An execution with its output as bytes."""

    ended: Ended
    exit_code: int | None
    output: Ring
    seconds: float
    reached: frozenset[Limit] = frozenset()

    def execution(self) -> Execution:
        text, written = self.output.text(), self.output.written
        return Execution(self.ended, self.exit_code, text, written, self.seconds, self.reached)


def start_script(
    argv: Sequence[str], *, cwd: str, env: Mapping[str, str], limits: Limits, before: Sequence[str] = ()
) -> bytes:
    """The shell text that the container's main process reads: it sets the stage and becomes the command."""
    for text in (*argv, cwd, *env, *env.values()):
        if "\0" in text:
            raise ValueError("a command, folder or environment variable must not contain a NUL character")
    inner = math.ceil(limits.seconds + _GRACE_SECONDS)
    command = shlex.join(argv)
    lines = [
        "exec 2>&1",
        *before,
        f"cd {shlex.quote(cwd)} || exit 126",
        # In blocks of 512 bytes. Python turns the signal into OSError; others die of SIGXFSZ.
        f"ulimit -f {max(limits.file_bytes // 512, 1)}",
        *(f"ulimit -{kind} -t {limits.cpu_seconds + (kind == 'H')}" for kind in "SH" if limits.cpu_seconds is not None),
        *(f"export {shlex.quote(f'{name}={value}')}" for name, value in env.items()),
        f"if command -v timeout >/dev/null; then exec timeout -s KILL {inner} {command}; fi",
        f"exec {command}",
        "",
    ]
    return "\n".join(lines).encode("utf-8", "surrogateescape")


class Frames:
    """Takes the payload out of the engine's stream: 8 bytes of header (kind, 0, 0, 0, length), then the bytes."""

    def __init__(self, take: Callable[[bytes], None], errors: Callable[[bytes], None] | None = None) -> None:
        """`errors` takes what came on the standard error; `take` does when it is left out."""
        self._takers = take, errors or take
        self._header = bytearray()
        self._kind = self._left = 0

    def feed(self, data: bytes) -> None:
        at = 0
        while at < len(data):
            if self._left:
                payload = data[at : at + self._left]
                self._takers[self._kind == 2](payload)
                self._left -= len(payload)
                at += len(payload)
                continue
            part = data[at : at + 8 - len(self._header)]
            self._header += part
            at += len(part)
            if len(self._header) == 8:
                self._kind = self._header[0]
                self._left = int.from_bytes(self._header[4:], "big")
                self._header.clear()


def execute(
    client: Client,
    container: str,
    limits: Limits,
    *,
    cancelled: threading.Event,
    watch: Callable[[], None] = lambda: None,
) -> Raw:
    """Run the container's main process once. Blocks, at most for the deadline and the engine's own deadlines.

    `watch` is called about once a second and may raise to stop the execution (a full disk).
    Raises SandboxLost, SandboxTimeout, and what `watch` raises. The container's processes are dead in any case,
    unless the engine itself does not answer.
    """
    ring = Ring(limits.output_bytes)
    socket = client.attach(container)
    try:
        client.start(container)
        late = _drain(socket, ring, time.monotonic() + limits.seconds, client, container, cancelled, watch)
    except BaseException:
        # Nobody reads any more, so the engine must not wait for a reader while it kills.
        _close(socket)
        client.kill(container)
        raise
    _close(socket)
    state = _ended_state(client, container)
    seconds = _seconds(state)
    out_of_cpu = limits.cpu_seconds is not None and state.exit_code == OUT_OF_CPU
    if late or out_of_cpu or (seconds >= limits.seconds + _GRACE_SECONDS - 1 and state.exit_code == 137):
        return Raw(Ended.TIMED_OUT, None, ring, seconds, frozenset({Limit.TIME}))
    if state.out_of_memory and state.exit_code == 137:
        return Raw(Ended.OUT_OF_MEMORY, None, ring, seconds, frozenset({Limit.MEMORY}))
    return Raw(Ended.EXITED, state.exit_code, ring, seconds)


def _drain(
    socket: Any,
    ring: Ring,
    deadline: float,
    client: Client,
    container: str,
    cancelled: threading.Event,
    watch: Callable[[], None],
) -> bool:
    """Read until the container's end; kill it at the deadline. True when the deadline did it."""
    frames = Frames(ring.write)
    killed_at: float | None = None
    watched = time.monotonic()
    open_ = True
    while True:
        now = time.monotonic()
        if cancelled.is_set():
            raise SandboxLost("the workspace was closed while a command ran in it")
        if now - watched >= _WATCH_SECONDS:
            watched = now
            watch()
        if killed_at is None and now >= deadline:
            # Aside, because the engine only answers once all output is taken, which is done below.
            threading.Thread(target=_kill_aside, args=(client, container), daemon=True).start()
            killed_at = now
        elif killed_at is not None and now - killed_at > _KILL_SECONDS:
            raise SandboxTimeout(f"a killed container did not end within {_KILL_SECONDS:.0f} s")
        if not open_:
            # stdout was closed by the command itself, which may go on without it.
            step = _POLL_SECONDS if killed_at is not None else min(_POLL_SECONDS, max(deadline - now, 0.01))
            if client.wait(container, step):
                return killed_at is not None
            continue
        pause = _POLL_SECONDS if killed_at is not None else min(_POLL_SECONDS, max(deadline - now, 0))
        if arrived([socket], pause):
            data = _receive(socket)
            frames.feed(data)
            open_ = bool(data)


def _kill_aside(client: Client, container: str) -> None:
    # When this fails, the container does not end, and the one who waits for that says so.
    with contextlib.suppress(SandboxError, Refused):
        client.kill(container)


def _receive(socket: Any) -> bytes:
    try:
        data = _socket.read(socket, 1 << 18)
        return data or b""
    except OSError:
        return b""  # the engine went away; asking for the container's state will say so


def _close(socket: Any) -> None:
    # The response first: it gives up its connection, which carries a raw stream now and must not be used again.
    response = getattr(socket, "_response", None)
    if response is not None:
        response.close()
    socket.close()


def _ended_state(client: Client, container: str) -> State:
    state = client.state(container)
    if state.running:
        raise SandboxLost("the engine lost track of a container's end")
    if state.removing:
        raise SandboxLost("somebody else removed the container of a running command")
    # The notice of an out-of-memory kill can come just after the notice of the end.
    for _ in range(3):
        if state.exit_code != 137 or state.out_of_memory:
            break
        time.sleep(0.03)
        state = client.state(container)
    return state


def _seconds(state: State) -> float:
    started, finished = (datetime.fromisoformat(text) for text in (state.started, state.finished))
    return max((finished - started).total_seconds(), 0.0)
