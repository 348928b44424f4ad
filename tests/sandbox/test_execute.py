"""The engine's frames, and the shell text of a command."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.base import Ended, Limits
from sandbox.client import Client, State
from sandbox.errors import DiskFull, SandboxLost, SandboxTimeout
from sandbox.execute import Frames, execute, start_script


@given(st.lists(st.binary(max_size=40)), st.integers(1, 17))
def test_frames_are_taken_apart_wherever_the_stream_is_cut(payloads: list[bytes], step: int) -> None:
    stream = b"".join(bytes([1 + i % 2, 0, 0, 0]) + len(p).to_bytes(4, "big") + p for i, p in enumerate(payloads))
    found: list[bytes] = []
    frames = Frames(found.append)
    for at in range(0, len(stream), step):
        frames.feed(stream[at : at + step])
    assert b"".join(found) == b"".join(payloads)


words = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


@given(st.lists(words, min_size=1, max_size=5))
def test_the_shell_hands_arguments_on_unchanged(arguments: list[str]) -> None:
    text = start_script(["printf", r"%s\0", *arguments], cwd="/", env={}, limits=Limits())
    done = subprocess.run(["sh"], input=text, capture_output=True, check=True)
    assert done.stdout.decode().split("\0")[:-1] == arguments


def test_the_shell_sets_folder_environment_and_file_size(tmp_path: Path) -> None:
    command = ["sh", "-c", 'printf "%s|" "$ODD"; pwd; ulimit -f; echo err >&2']
    text = start_script(command, cwd=str(tmp_path), env={"ODD": "a'\nb"}, limits=Limits(file_bytes=1024))
    done = subprocess.run(["sh"], input=text, capture_output=True, check=True)
    assert done.stdout.decode() == f"a'\nb|{tmp_path}\n2\nerr\n"
    assert done.stderr == b""


def test_the_shell_stops_when_what_comes_before_fails() -> None:
    text = start_script(["echo", "ran"], cwd="/", env={}, limits=Limits(), before=["false || { echo no; exit 125; }"])
    done = subprocess.run(["sh"], input=text, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (125, b"no\n")


def test_its_own_deadline_ends_it_when_nobody_else_does() -> None:
    text = start_script(["sleep", "60"], cwd="/", env={}, limits=Limits(seconds=-4.0))
    done = subprocess.run(["sh"], input=text, capture_output=True, check=False, timeout=20)
    assert done.returncode in (137, -9)


@pytest.mark.parametrize("argv", [["a\0b"], ["a", "\0"]])
def test_a_nul_is_refused(argv: list[str]) -> None:
    with pytest.raises(ValueError, match="NUL"):
        start_script(argv, cwd="/", env={}, limits=Limits())


class FakeClient(Client):
    """An engine whose container prints what it is told and ends when it is told."""

    def __init__(self, frames: bytes, exit_code: int = 0, *, ends: bool = True, out_of_memory: bool = False) -> None:
        import socket

        super().__init__(None, 1.0)
        self.ours, self.theirs = socket.socketpair()
        self.theirs.sendall(frames)
        self.ends = threading.Event()
        if ends:
            self.end()
        self.deaf = False
        self.killed = False
        self.code = exit_code
        self.out_of_memory = out_of_memory

    def end(self) -> None:
        self.ends.set()
        self.theirs.close()

    def attach(self, container: str) -> Any:
        return self.ours

    def start(self, container: str) -> None:
        return None

    def kill(self, container: str) -> None:
        self.killed = True
        if not self.deaf:
            self.code = 137
            self.end()

    def wait(self, container: str, seconds: float) -> bool:
        return self.ends.wait(seconds)

    def state(self, container: str) -> State:
        times = ("2026-01-01T00:00:00.123456789Z", "2026-01-01T00:00:01.623456789Z")
        return State(False, False, self.code, self.out_of_memory, *times)


FRAME = b"\1\0\0\0\0\0\0\3abc"


def run(client: FakeClient, seconds: float = 0.3, **more: Any) -> Any:
    return execute(client, "c", Limits(seconds=seconds), cancelled=more.pop("cancelled", threading.Event()), **more)


def test_an_end_in_time() -> None:
    raw = run(FakeClient(FRAME, 7), 5.0)
    assert (raw.ended, raw.exit_code, raw.output.text(), raw.seconds) == (Ended.EXITED, 7, "abc", 1.5)


def test_a_deadline_kills_and_keeps_the_output() -> None:
    client = FakeClient(FRAME, ends=False)
    raw = run(client)
    assert client.killed
    assert (raw.ended, raw.exit_code, raw.output.text()) == (Ended.TIMED_OUT, None, "abc")


def test_an_out_of_memory_kill_is_no_timeout() -> None:
    assert run(FakeClient(b"", 137, out_of_memory=True), 5.0).ended is Ended.OUT_OF_MEMORY


def test_a_child_out_of_memory_that_the_command_survives_is_its_own_affair() -> None:
    raw = run(FakeClient(b"", 1, out_of_memory=True), 5.0)
    assert (raw.ended, raw.exit_code) == (Ended.EXITED, 1)


def test_an_engine_that_cannot_kill_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandbox.execute._KILL_SECONDS", 0.3)
    client = FakeClient(b"", ends=False)
    client.deaf = True
    with pytest.raises(SandboxTimeout):
        run(client)
    client.end()


def test_cancellation_kills() -> None:
    client, cancelled = FakeClient(b"", ends=False), threading.Event()
    cancelled.set()
    with pytest.raises(SandboxLost):
        run(client, 60.0, cancelled=cancelled)
    assert client.killed


def test_a_full_disk_kills() -> None:
    def watch() -> None:
        raise DiskFull("full")

    client = FakeClient(b"", ends=False)
    with pytest.raises(DiskFull):
        run(client, 60.0, watch=watch)
    assert client.killed
