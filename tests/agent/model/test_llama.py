"""The embedded engine: where builds lie, what is tried in which order, how the server is started."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest

from agent.errors import ModelUnavailable
from agent.model import llama
from agent.model.files import make_folder
from agent.model.llama import build_engine, build_folder, find_engine, keep_prompts, launch_llama, pool_cells

# Stands for a built server: answers /health and one completion, or dies of SIGILL's cousin at the first token.
FAKE_ENGINE = """#!{python}
import http.server, json, os, sys
port = int(sys.argv[sys.argv.index("--port") + 1])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def do_POST(self):
        if {dies}: os._exit(132)
        code = 200 if self.headers["Authorization"] == "Bearer " + os.environ["LLAMA_API_KEY"] else 401
        self.send_response(code); self.end_headers()
    def log_message(self, *args): pass
http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


def fake_build(monkeypatch: pytest.MonkeyPatch, dies_with_amx: bool, dies_without: bool = False) -> list[bool]:
    builds: list[bool] = []

    async def build(cache: Path, folder: Path, amx: bool, say: object) -> None:
        builds.append(amx)
        engine = make_folder(folder) / "llama-server"
        engine.write_text(FAKE_ENGINE.format(python=sys.executable, dies=dies_with_amx if amx else dies_without))
        engine.chmod(engine.stat().st_mode | stat.S_IXUSR)

    monkeypatch.setattr(llama, "_build", build)
    monkeypatch.setattr(llama, "compiler", lambda: "c++")
    return builds


async def test_a_build_is_proved_once_and_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    builds = fake_build(monkeypatch, dies_with_amx=False)
    assert find_engine(tmp_path) is None
    engine = await build_engine(tmp_path, tmp_path / "w.gguf", print)
    assert find_engine(tmp_path) == engine == build_folder(tmp_path) / "llama-server"
    await build_engine(tmp_path, tmp_path / "w.gguf", print)
    assert builds == [True]


async def test_a_build_that_dies_at_its_first_token_is_made_again_without_amx(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    builds = fake_build(monkeypatch, dies_with_amx=True)
    engine = await build_engine(tmp_path, tmp_path / "w.gguf", print)
    assert builds == [True, False]
    assert engine.parent.name.endswith("-no-amx")
    assert find_engine(tmp_path) == engine


async def test_no_build_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_build(monkeypatch, dies_with_amx=True, dies_without=True)
    with pytest.raises(ModelUnavailable, match="does not answer"):
        await build_engine(tmp_path, tmp_path / "w.gguf", print)
    assert find_engine(tmp_path) is None


async def test_no_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llama, "compiler", lambda: None)
    with pytest.raises(ModelUnavailable, match="apt-get install g"):
        await build_engine(tmp_path, tmp_path / "w.gguf", print)


def test_a_build_is_named_by_the_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = build_folder(tmp_path)
    monkeypatch.setattr(llama, "processor", lambda: "x86_64 sse2")
    assert build_folder(tmp_path) != here
    assert build_folder(tmp_path) != build_folder(tmp_path, amx=False)


def test_the_server_listens_on_the_loopback_only_and_its_key_is_in_no_command_line() -> None:
    launch = launch_llama(Path("/e/llama-server"), Path("/w.gguf"), "the-key", slots=4, cells=4096)
    argv = launch.argv(1234)
    assert argv[argv.index("--host") + 1] == "127.0.0.1"
    assert argv[argv.index("--parallel") + 1] == "4"
    assert "the-key" not in " ".join(argv)
    assert launch.env["LLAMA_API_KEY"] == "the-key"
    assert launch.env["OMP_WAIT_POLICY"] == "passive"


def test_the_patch_takes_out_one_place_and_nothing_else(tmp_path: Path) -> None:
    source = tmp_path / "server-context.cpp"
    forgets = llama._FORGETS  # pyright: ignore[reportPrivateUsage]
    source.write_text(f"before\n{forgets}after\n")
    keep_prompts(source)
    assert source.read_text() == "before\nafter\n"
    with pytest.raises(ModelUnavailable, match="not the expected one"):
        keep_prompts(source)


def test_the_pool_of_cells_has_bounds() -> None:
    assert 16_384 <= pool_cells() <= 98_304
