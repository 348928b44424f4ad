"""The embedded server itself, with real weights: nobody but us may use it, and it recovers from its death."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from agent.errors import ModelUnavailable
from agent.model import process
from agent.model.base import Message, Model, Request, Sampling, Stage
from agent.model.client import OpenAIModel, Patience
from agent.model.embedded import ensure_embedded
from agent.model.llama import launch_llama
from agent.model.open import open_model
from agent.model.process import served
from agent.model.profile import profile_for
from agent.model.weights import weights_for, weights_path
from agent.model.xllama import install_wheel, launch_xllama
from tests.conformance.test_model import CACHE
from tests.waiting import wait_gone

pytestmark = [pytest.mark.model, pytest.mark.timeout(1800)]

ASK = Request((Message("user", "Name a tree."),), Sampling(max_tokens=8), Stage.EDITING, "editing-0")


@pytest.mark.parametrize("engine", ["llama-server", "xllamacpp"])
async def test_without_its_key_the_server_answers_nobody(engine: str, tmp_path: Path) -> None:
    launch = await ensure_embedded(CACHE, print, "0.5b")
    weights = weights_path(weights_for("0.5b"), CACHE)
    if engine == "xllamacpp":
        launch = launch_xllama(await install_wheel(CACHE, print), weights, "the-key")
    elif launch.name != engine:
        pytest.skip("llama-server cannot be built here")
    else:
        launch = launch_llama(Path(launch.argv(0)[0]), weights, "the-key", slots=1, cells=1024)
    ask = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
    async with served(launch, tmp_path, print) as server, httpx.AsyncClient(trust_env=False, timeout=120) as client:
        url = f"{server.address}/v1/chat/completions"
        assert (await client.post(url, json=ask)).status_code == 401
        assert (await client.post(url, json=ask, headers={"Authorization": "Bearer other"})).status_code == 401
        assert (await client.post(url, json=ask, headers={"Authorization": "Bearer the-key"})).status_code == 200


def servers(log: Path) -> list[int]:
    """Ids of the running llama-servers whose command line our log shows."""
    ports = [line.split("--port ")[1].split()[0] for line in log.read_text().splitlines() if line.startswith("$ ")]
    found: list[int] = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            argv = (folder / "cmdline").read_text("utf-8", "replace").split("\0")
        except OSError:
            continue
        if argv[0].endswith("llama-server") and ports[-1] in argv:
            found.append(int(folder.name))
    return found


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_server_that_dies_or_hangs_is_restarted_once_in_mid_run(
    end: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_LOOK", 2.0)
    monkeypatch.setattr(process, "_SILENCE", 10.0)
    said: list[str] = []
    async with open_model("embedded:0.5b", cache=CACHE, log_dir=tmp_path, say=said.append) as model:
        if not (tmp_path / "llama-server.log").exists():
            pytest.skip("llama-server cannot be built here")
        assert await model.complete(ASK)
        (pid,) = servers(tmp_path / "llama-server.log")
        os.kill(pid, end)
        assert await model.complete(ASK)
        assert any("starting it again" in line for line in said)
        (pid,) = servers(tmp_path / "llama-server.log")
        os.kill(pid, end)
        with pytest.raises(ModelUnavailable, match="died a second time"):
            await model.complete(ASK)
    wait_gone([pid])  # killed together with its guard, it may be there a moment longer


@contextmanager
def lying(server: str, lies: list[Callable[[bytes], bytes]]) -> Generator[str]:
    """Stands before a server and changes its answers, one lie for each, then none."""

    class Between(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.pass_on(None)

        def do_POST(self) -> None:
            self.pass_on(self.rfile.read(int(self.headers["Content-Length"])))

        def pass_on(self, body: bytes | None) -> None:
            headers = {"Authorization": self.headers["Authorization"], "Content-Type": "application/json"}
            with httpx.Client(trust_env=False, timeout=120) as client:
                answer = client.request(self.command, server + self.path, content=body, headers=headers)
            told = lies.pop(0)(answer.content) if lies and body is not None else answer.content
            self.send_response(answer.status_code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        def log_message(self, format: str, *args: object) -> None:
            pass

    between = ThreadingHTTPServer(("127.0.0.1", 0), Between)
    threading.Thread(target=between.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{between.server_address[1]}/v1"
    finally:
        between.shutdown()
        between.server_close()


def edited(**changes: object) -> Callable[[bytes], bytes]:
    return lambda body: json.dumps({**json.loads(body), **changes}).encode()


async def test_a_server_that_is_made_to_lie_is_not_believed(tmp_path: Path) -> None:
    launch = await ensure_embedded(CACHE, print, "0.5b", key="the-key")
    false = {"prompt_tokens": 3, "completion_tokens": 10**9, "prompt_tokens_details": {"cached_tokens": 10**6}}
    lies: list[list[Callable[[bytes], bytes]]] = [
        [lambda body: body[: len(body) // 2]],
        [lambda _: b'{"error": {"message": "no worker"}}'],
        [edited(choices=[])],
        [],
        [edited(usage=false)],
    ]
    patience = Patience(connect=10, least=300, total=600, first_wait=0.01, longest_wait=0.05)
    settings: dict[str, Any] = {"profile": profile_for("embedded:0.5b"), "api_key": "the-key", "local": True}
    async with served(launch, tmp_path, print) as server:
        for some in lies:
            with lying(server.address, some) as url:
                model = OpenAIModel(base_url=url, model="m", patience=patience, **settings)
                (answer,) = await model.complete(ASK)
                await model.aclose()
            assert answer.text.strip()
            assert not some  # it was told
            assert answer.usage.completion_tokens <= 2 * ASK.sampling.max_tokens
            assert answer.usage.cached_tokens <= answer.usage.prompt_tokens


async def test_many_trajectories_of_one_prefix_pay_for_it_once(tmp_path: Path) -> None:
    """The first answers of all trajectories come from one request; each then goes on alone, from the cache."""
    system = Message("system", "Facts about trees: " + "an oak lives long, a birch does not. " * 60)
    cached: list[float] = []

    async def go_on(model: Model, number: int) -> None:
        request = Request(
            (system, Message("user", f"Fact {number}?")), Sampling(max_tokens=4), Stage.EDITING, f"editing-{number}"
        )
        (answer,) = await model.complete(request)
        cached.append(answer.usage.cached_tokens / answer.usage.prompt_tokens)

    async with open_model("embedded:0.5b", cache=CACHE, log_dir=tmp_path) as model:
        if not (tmp_path / "llama-server.log").exists():
            pytest.skip("the ready-made server forgets prompts that were shared by n answers")
        first = Request(
            (system, Message("user", "Facts?")), Sampling(max_tokens=4, temperature=0.8), Stage.TEST_WRITING, "t"
        )
        await model.complete(first, 8)
        async with anyio.create_task_group() as group:
            for number in range(8):
                group.start_soon(go_on, model, number)
    assert min(cached) > 0.9
