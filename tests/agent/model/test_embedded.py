"""The embedded server itself, with real weights: nobody but us may use it, and it recovers from its death."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import anyio
import httpx
import pytest

from agent.errors import ModelUnavailable
from agent.model.base import Message, Model, Request, Sampling, Stage
from agent.model.embedded import ensure_embedded
from agent.model.llama import launch_llama
from agent.model.open import open_model
from agent.model.process import served
from agent.model.weights import weights_for, weights_path
from agent.model.xllama import install_wheel, launch_xllama
from tests.agent.model.test_process import alive
from tests.conformance.test_model import CACHE

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
            argv = (folder / "cmdline").read_text().split("\0")
        except OSError:
            continue
        if argv[0].endswith("llama-server") and ports[-1] in argv:
            found.append(int(folder.name))
    return found


async def test_a_killed_server_is_restarted_once_in_mid_run(tmp_path: Path) -> None:
    said: list[str] = []
    async with open_model("embedded:0.5b", cache=CACHE, log_dir=tmp_path, say=said.append) as model:
        if not (tmp_path / "llama-server.log").exists():
            pytest.skip("llama-server cannot be built here")
        assert await model.complete(ASK)
        (pid,) = servers(tmp_path / "llama-server.log")
        os.kill(pid, signal.SIGKILL)
        assert await model.complete(ASK)
        assert any("starting it again" in line for line in said)
        (pid,) = servers(tmp_path / "llama-server.log")
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(ModelUnavailable, match="died a second time"):
            await model.complete(ASK)
    assert not alive(pid)


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
