"""Supervised children: health, death with a known mend, one restart, and an end that leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import anyio
import httpx
import pytest

from agent.errors import ModelUnavailable
from agent.model.process import Launch, Server, is_free, served
from tests.waiting import alive, wait_gone

# A child that serves /health and starts a child of its own, whose ids it prints.
SERVER = """
import http.server, os, subprocess, sys
helper = subprocess.Popen(["sleep", "300"])
keys = os.environ.get("OPENAI_API_KEY"), os.environ.get("MY_API_KEY")
print("pids", os.getpid(), helper.pid, "key", *keys, flush=True)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *args): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def launch(program: str = SERVER, seconds: float = 20.0) -> Launch:
    return Launch(
        "child",
        lambda port: [sys.executable, "-c", program, str(port)],
        env={"MY_API_KEY": "own"},
        start_seconds=seconds,
    )


def pids(log: Path) -> list[int]:
    lines = [line.split() for line in log.read_text().splitlines() if line.startswith("pids")]
    return [int(pid) for pid in lines[-1][1:3]]


async def killed(server: Server, log: Path) -> None:
    """Returns once its guard has found that it is."""
    os.kill(pids(log)[0], signal.SIGKILL)
    with anyio.fail_after(60):
        await server._process.wait()  # type: ignore[union-attr]  # pyright: ignore[reportPrivateUsage, reportOptionalMemberAccess]


async def test_it_serves_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-other")
    async with served(launch(), tmp_path, print) as server:
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(server.address)).status_code == 200
        running = pids(tmp_path / "child.log")
        assert all(alive(pid) for pid in running)
        assert "key None own" in (tmp_path / "child.log").read_text()
    wait_gone(running)


async def test_one_that_was_stopped_is_ended_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGSTOP on the server's group stops the guard as well, and the end of a run waited for it for ever."""
    monkeypatch.setattr("agent.model.process._GRACE", 0.2)
    monkeypatch.setattr("agent.model.process._MARGIN", 0.2)
    with anyio.move_on_after(60) as waited:
        async with served(launch(), tmp_path, print):
            running = pids(tmp_path / "child.log")
            os.killpg(os.getpgid(running[0]), signal.SIGSTOP)
        wait_gone(running)
    assert not waited.cancelled_caught


async def test_cancelling_ends_it(tmp_path: Path) -> None:
    with anyio.CancelScope() as scope:
        async with served(launch(), tmp_path, print):
            running = pids(tmp_path / "child.log")
            assert running
            scope.cancel()
            await anyio.sleep_forever()
    wait_gone(running)


async def test_it_is_restarted_once_at_the_same_address(tmp_path: Path) -> None:
    said: list[str] = []
    async with served(launch(), tmp_path, said.append) as server:
        address = server.address
        await server.revive()
        assert said == []  # it lives: nothing to do
        await killed(server, tmp_path / "child.log")
        await server.revive()
        assert server.address == address
        assert "killed by SIGKILL" in said[0]
        await killed(server, tmp_path / "child.log")
        with pytest.raises(ModelUnavailable, match="died a second time"):
            await server.revive()


async def test_a_start_that_fails_shows_the_log_and_a_mend(tmp_path: Path) -> None:
    program = "import sys; print('ggml: failed to allocate CPU buffer of size 9'); sys.exit(3)"
    with pytest.raises(ModelUnavailable) as caught:
        async with served(launch(program), tmp_path, print):
            pass
    for part in ("exit code 3", "failed to allocate", "not enough memory", str(tmp_path / "child.log")):
        assert part in str(caught.value)


async def test_the_cause_is_that_of_this_start(tmp_path: Path) -> None:
    """A folder for logs may have the log of an earlier run, to which this one is added."""
    (tmp_path / "child.log").write_text("RuntimeError: No space left on device\n")
    program = "import sys; sys.exit('ValueError: odd')"
    with pytest.raises(ModelUnavailable, match="ValueError: odd") as caught:
        async with served(launch(program), tmp_path, print):
            pass
    assert "disk" not in str(caught.value)


async def test_a_start_that_never_ends_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="not ready within 1 s"):
        async with served(launch("import time; time.sleep(60)", seconds=0.6), tmp_path, print):
            pass


async def test_a_program_that_does_not_exist(tmp_path: Path) -> None:
    missing = Launch("child", lambda _: ["/no/such/server"], start_seconds=5)
    with pytest.raises(ModelUnavailable, match="No such file"):
        async with served(missing, tmp_path, print):
            pass


async def test_without_a_log_folder_only_failures_keep_their_log(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    async with served(launch(), None, print):
        assert len(os.listdir(tmp_path)) == 1
    assert os.listdir(tmp_path) == []


def test_it_dies_with_us_even_when_we_are_killed(tmp_path: Path) -> None:
    program = f"""
        import anyio, sys
        from pathlib import Path
        from tests.agent.model.test_process import launch
        from agent.model.process import served
        async def main():
            async with served(launch(), Path({str(tmp_path)!r}), print):
                print("up", flush=True)
                await anyio.sleep_forever()
        anyio.run(main)
    """
    root = Path(__file__).parents[3]
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], cwd=root, stdout=subprocess.PIPE) as us:
        assert us.stdout is not None
        assert us.stdout.readline() == b"up\n"
        running = pids(tmp_path / "child.log")
        us.kill()
    wait_gone(running)


def test_a_port_is_free_when_nobody_listens_on_it() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = listening.getsockname()[1]
        assert not is_free(port)
    assert is_free(port)
