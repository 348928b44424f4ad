"""A model server as a supervised child: it starts, proves its health, is restarted once, and dies with us."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import PIPE, STDOUT

import anyio
import anyio.abc
import httpx

from agent.errors import ModelUnavailable
from agent.model.diagnosis import diagnosed
from agent.model.pulse import STANDSTILL, Pulse
from agent.parallel import each
from sandbox import scratch

Say = Callable[[str], None]
"""Takes one line of progress for the user."""

_GUARD = Path(__file__).with_name("guard.py")
_GRACE = 10.0  # seconds from SIGTERM to SIGKILL
_MARGIN = 5.0  # seconds after which the guard is not relied on
_LOOK = 10.0  # seconds from one look at a server's health to the next, and for its answer
_SILENCE = 60.0  # seconds of looks without an answer: a busy server answers, its engine is another process or thread


@dataclass(frozen=True)
class Launch:
    """How to start a server."""

    name: str
    """What messages call it."""
    argv: Callable[[int], list[str]]
    """The command line for a port."""
    health: str = "/health"
    """A path that answers 200 once the server serves."""
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    """Added to our environment, from which keys of other services are taken out."""
    start_seconds: float = 120.0
    pulse: Pulse | None = None
    """How its engine is watched, where that may stand still while the server answers."""
    port: int | None = None
    """Where it listens; a free port unless somebody must know it beforehand."""


class Server:
    """A running launch. `address` stays the same when the server is restarted."""

    def __init__(self, launch: Launch, log: Path, say: Say) -> None:
        self._launch = launch
        self._log = log
        self._say = say
        self._process: anyio.abc.Process | None = None
        self._port = launch.port or free_port()
        self._lock = anyio.Lock()
        self._restarts = 0
        self._begins = 0  # where in the log, which earlier runs may have written too, this process begins
        self._given_up: tuple[anyio.abc.Process, str] | None = None  # was ended by us, and why

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def start(self) -> None:
        """Start and wait for health. Raises ModelUnavailable with the log's tail and a mend where one is known."""
        await self._spawn()
        try:
            await self._wait_healthy()
        except ModelUnavailable as error:
            if "port was taken" not in str(error) or self._launch.port is not None:
                raise
            self._port = free_port()
            await self._spawn()
            await self._wait_healthy()

    async def revive(self) -> None:
        """Called when a connection failed: restart a server that died, once. Raises ModelUnavailable after that."""
        async with self._lock:
            process = self._process
            if process is None or process.returncode is None:
                return
            ended, why = self._given_up or (None, "")
            hung = f"{why} and was ended" if process is ended else None
            if self._restarts:
                again = f", this time it {hung}" if hung else f" ({_end(process.returncode)})"
                raise self._failure(f"died a second time{again}")
            self._restarts += 1
            self._say(f"{self._launch.name} {hung or f'died ({_end(process.returncode)})'}; starting it again")
            await self._left()
            await self._spawn()
            await self._wait_healthy()

    async def watch(self) -> None:
        """Start it again when it dies or hangs, once, without waiting for a request to meet that.

        Raises ModelUnavailable.
        """
        while (process := self._process) is not None:
            async with anyio.create_task_group() as group:
                group.start_soon(self._end_when_silent, process)
                if self._launch.pulse is not None:
                    group.start_soon(self._end_when_still, process, self._launch.pulse)
                await process.wait()
                group.cancel_scope.cancel()
            await self.revive()

    async def _end_when_silent(self, process: anyio.abc.Process) -> None:
        """Kill it once it has missed all looks for a while. Looks are counted, not time: we may have been stopped."""
        missed = 0
        async with httpx.AsyncClient(trust_env=False, timeout=_LOOK) as client:
            while missed * _LOOK < _SILENCE:
                next_look = anyio.current_time() + _LOOK
                answers = await self._healthy(client)
                starting = self._lock.locked()
                missed = 0 if answers or starting else missed + 1
                await anyio.sleep_until(next_look)
        self._give_up(process, f"gave no sign of life for {_SILENCE:.0f} s")

    async def _end_when_still(self, process: anyio.abc.Process, pulse: Pulse) -> None:
        """Kill it once its engine does nothing any more."""
        await pulse.lost(self.address)
        self._give_up(process, f"answered, but its engine gave no sign of life for {2 * STANDSTILL:.0f} s")

    def _give_up(self, process: anyio.abc.Process, why: str) -> None:
        if process.returncode is None:
            self._given_up = process, why
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    async def stop(self) -> None:
        """End it with all its processes. Safe to call twice, also while being cancelled."""
        process, self._process = self._process, None
        if process is None:
            return
        with anyio.CancelScope(shield=True):
            if process.stdin is not None:
                await process.stdin.aclose()  # the guard's signal to end the group
            with anyio.move_on_after(_GRACE + _MARGIN) as patience:
                await process.wait()
            if patience.cancelled_caught:  # the guard cannot do it, being stopped itself, say
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            await process.aclose()

    async def _left(self) -> None:
        """Wait until what died has let go of the port: a killed server may be gone a moment after its guard."""
        for _ in range(int(_GRACE * 10)):
            if is_free(self._port):
                return
            await anyio.sleep(0.1)

    async def _spawn(self) -> None:
        await self.stop()
        argv = self._launch.argv(self._port)
        with self._log.open("ab") as log:
            log.write(f"\n$ {shlex.join(argv)}\n".encode())
            log.flush()
            self._begins = log.tell()
            self._process = await anyio.open_process(
                [sys.executable, "-I", "-S", str(_GUARD), str(_GRACE), *argv],
                stdin=PIPE,
                stdout=log,
                stderr=STDOUT,
                env=child_env(self._launch.env),
                start_new_session=True,
            )

    async def _wait_healthy(self) -> None:
        process = self._process
        with anyio.move_on_after(self._launch.start_seconds):
            async with httpx.AsyncClient(trust_env=False, timeout=10.0) as client:
                while process is not None:
                    if process.returncode is not None:
                        raise self._failure(f"ended while starting ({_end(process.returncode)})")
                    if await self._healthy(client):
                        return
                    await anyio.sleep(0.1)
        failure = self._failure(f"was not ready within {self._launch.start_seconds:.0f} s")
        await self.stop()
        raise failure

    async def _healthy(self, client: httpx.AsyncClient) -> bool:
        try:
            return (await client.get(self.address + self._launch.health)).status_code == 200
        except httpx.HTTPError:
            return False  # not listening yet, or hanging

    def _failure(self, what: str) -> ModelUnavailable:
        return ModelUnavailable(diagnosed(f"{self._launch.name} {what}", self._log, self._begins))


def _end(code: int) -> str:
    signals = {4: "illegal instruction", 6: "aborted", 9: "killed by SIGKILL", 11: "segmentation fault"}
    number = code - 128 if code > 128 else -code
    return signals.get(number, f"exit code {code}")


def child_env(extra: Mapping[str, str]) -> dict[str, str]:
    """Our environment for a server of our own: without the keys of other services, which are not its business."""
    kept = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    return {**kept, **extra}


def free_port() -> int:
    """A port of the loopback that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    """Whether nothing listens on a port of the loopback."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that have ended are nobody's
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


@asynccontextmanager
async def served(launch: Launch, log_dir: Path | None, say: Say) -> AsyncGenerator[Server]:
    """The server for the block. Its log goes to `log_dir`, or to a temporary file that is kept only when it fails."""
    async with all_served([launch], log_dir, say) as (server,):
        yield server


@asynccontextmanager
async def all_served(launches: Sequence[Launch], log_dir: Path | None, say: Say) -> AsyncGenerator[tuple[Server, ...]]:
    """As `served`, for servers that start side by side: loading weights takes minutes."""
    logs = [_log_file(launch.name, log_dir) for launch in launches]
    servers = [Server(launch, log, say) for launch, log in zip(launches, logs, strict=True)]
    try:
        await each(servers, Server.start, at_once=len(servers))
        yield tuple(servers)
    finally:
        for server in servers:
            await server.stop()
    if log_dir is None:
        for log in logs:
            log.unlink(missing_ok=True)


def _log_file(name: str, log_dir: Path | None) -> Path:
    if log_dir is not None:
        log_dir.mkdir(parents=True, exist_ok=True)
        return log_dir / f"{name}.log"
    handle, path = tempfile.mkstemp(prefix=f"{scratch.prefix()}{name}-", suffix=".log")
    os.close(handle)
    return Path(path)
