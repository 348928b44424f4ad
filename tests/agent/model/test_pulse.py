"""A server whose engine stands still while its other part answers: seen, ended, started again."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import ModelUnavailable
from agent.model import pulse
from agent.model.process import Launch, Server, served
from agent.model.pulse import Pulse, samples
from tests.waiting import until

SECONDS = 0.2
# Its engine is a counter; files in its folder say what becomes of it. It notes each start and each question there.
PROGRAM = """
import http.server, os, pathlib, sys, time
folder = pathlib.Path(sys.argv[2])
if not (folder / "for ever").exists():
    (folder / "stuck").unlink(missing_ok=True)
done = 0
def note(name):
    with open(folder / name, "a") as file:
        file.write("x\\n")
class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, text, status=200):
        self.send_response(status); self.end_headers(); self.wfile.write(text.encode())
    def do_GET(self):
        global done
        if self.path == "/metrics":
            note("looks")
        if self.path == "/metrics" and not (folder / "silent").exists():
            done += (folder / "at work").exists()
            self.answer(f'# HELP steps\\nsteps{{engine="0"}} {done}\\nother 7\\n')
        else:
            self.answer("", 404 if self.path == "/metrics" else 200)
    def do_POST(self):
        global done
        note("questions")
        done += (folder / "behind others").exists()
        while (folder / "stuck").exists():
            time.sleep(0.05)
        done += self.headers["authorization"] == "Bearer secret"
        self.answer("")
    def log_message(self, *args): pass
note("starts")
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "STANDSTILL", SECONDS)


def launch(folder: Path) -> Launch:
    return Launch(
        "child",
        lambda port: [sys.executable, "-c", PROGRAM, str(port), str(folder)],
        pulse=Pulse(("steps",), "/ask", {"max_tokens": 1}, "secret"),
    )


@asynccontextmanager
async def watched(folder: Path, said: list[str]) -> AsyncGenerator[Server]:
    async with served(launch(folder), folder, said.append) as server, anyio.create_task_group() as group:
        group.start_soon(server.watch)
        yield server
        group.cancel_scope.cancel()


def count(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


async def test_an_engine_with_nothing_to_do_is_asked_now_and_then(tmp_path: Path) -> None:
    said: list[str] = []
    async with watched(tmp_path, said):
        await until(lambda: count(tmp_path / "questions") >= 3)
    assert (count(tmp_path / "starts"), said) == (1, [])


async def test_an_engine_that_stands_still_is_started_again(tmp_path: Path) -> None:
    said: list[str] = []
    async with watched(tmp_path, said):
        (tmp_path / "stuck").touch()
        await until(lambda: count(tmp_path / "starts") == 2)
        asked = count(tmp_path / "questions")
        await until(lambda: count(tmp_path / "questions") >= asked + 2)
    assert said == ["child answered, but its engine gave no sign of life for 240 s and was ended; starting it again"]


@pytest.mark.parametrize("case", ["at work", "silent"])
async def test_an_engine_at_work_and_one_that_counts_nothing_are_not_asked(tmp_path: Path, case: str) -> None:
    said: list[str] = []
    (tmp_path / case).touch()
    async with watched(tmp_path, said):
        (tmp_path / "stuck").touch()
        await until(lambda: count(tmp_path / "looks") >= 5)
    assert (count(tmp_path / "starts"), count(tmp_path / "questions"), said) == (1, 0, [])


async def test_a_question_may_wait_behind_others(tmp_path: Path) -> None:
    said: list[str] = []
    (tmp_path / "behind others").touch()
    async with watched(tmp_path, said):
        (tmp_path / "stuck").touch()
        await until(lambda: count(tmp_path / "questions") >= 3)
    assert (count(tmp_path / "starts"), said) == (1, [])


async def test_one_that_stands_still_again_is_given_up(tmp_path: Path) -> None:
    said: list[str] = []
    for name in ("stuck", "for ever"):
        (tmp_path / name).touch()
    again = "died a second time, this time it answered, but its engine gave no sign of life for 240 s and was ended"
    async with served(launch(tmp_path), tmp_path, said.append) as server:
        with anyio.fail_after(240), pytest.raises(ModelUnavailable, match=again) as raised:
            await server.watch()
    assert "dmesg" in str(raised.value), "what to do"
    assert len(said) == 1


def test_what_a_server_tells_of_itself() -> None:
    text = '# HELP a Some.\n# TYPE a_total counter\na_total{model="b {c"} 1.5e3 1700000000\nsteps 2\nnone NaN\n'
    assert samples(text)[:2] == [("a_total", 1500.0), ("steps", 2.0)]


@given(st.text(alphabet='ab{}="\\ ,#\n1.e+-\t<>/:_'))
def test_text_that_is_something_else_is_said_to_be(text: str) -> None:
    with suppress(ValueError):
        samples(text)
