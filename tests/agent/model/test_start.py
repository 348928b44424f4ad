"""Several servers that are started together: which GPUs and ports they get, and what becomes of them."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import anyio
import pytest

from agent.errors import ModelUnavailable
from agent.model.base import Message, Request, Sampling, Stage
from agent.model.meter import Meter
from agent.model.open import open_model
from agent.model.process import free_port
from agent.model.serving import Serving
from agent.model.spec import Vllm
from agent.model.start import Place, started
from tests.agent.model.standin_vllm import make
from tests.waiting import alive

MODEL = "Qwen/Qwen2.5-Coder-1.5B-Instruct"


def asked(text: str) -> Request:
    messages = (Message("system", text * 3000), Message("user", "hello"))
    return Request(messages, Sampling(max_tokens=4), Stage.EDITING, "editing-0")


def calls(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "calls").read_text().splitlines()]


async def test_a_replica_on_each_gpu(tmp_path: Path) -> None:
    said: list[str] = []
    python = make(tmp_path / "v")
    async with open_model(
        f"vllm:{MODEL}", cache=tmp_path, log_dir=tmp_path / "logs", say=said.append, vllm_python=str(python)
    ) as model:
        assert {(await model.complete(asked(letter)))[0].text for letter in "abcd"} == {"0", "1"}
        assert model.profile.parallel == 512
    assert sorted(call["gpus"] for call in calls(tmp_path / "v")) == ["0", "1"]
    assert sorted(path.name for path in (tmp_path / "logs").iterdir()) == ["vllm-0.log", "vllm-1.log"]
    assert "2 replicas on 1 GPU each" in said[0]
    assert not any(alive(call["pid"]) for call in calls(tmp_path / "v"))


async def test_the_gpus_of_servers_of_our_own_are_metered(tmp_path: Path) -> None:
    meters: list[Meter] = []
    python = make(tmp_path / "v")
    async with open_model(
        f"vllm:{MODEL}", cache=tmp_path, vllm_python=str(python), serving=Serving(replicas=2), metered=meters.append
    ):
        before = time.monotonic()
        first = meters[0].read()
        await anyio.sleep(0.1)
        spent = meters[0].read().seconds - first.seconds
        assert 0.2 <= spent <= 2 * (time.monotonic() - before), "of two GPUs"
        assert first.joules is None, "no driver here knows them"


async def test_ports_and_key_that_somebody_must_know(tmp_path: Path) -> None:
    python = make(tmp_path / "v")
    port = free_port()
    place = Place(tmp_path, print, vllm_python=str(python), port=port, key="known")
    async with started(Vllm(MODEL), place, Serving(replicas=1), {}) as ready:
        assert ready.key == "known"
        assert [server.address for server in ready.servers] == [f"http://127.0.0.1:{port}"]


async def test_one_that_cannot_start_ends_the_others_and_says_why(tmp_path: Path) -> None:
    python = make(tmp_path / "v")
    (tmp_path / "v" / "no-memory").touch()
    with pytest.raises(ModelUnavailable, match="not enough memory"):
        async with open_model(f"vllm:{MODEL}", cache=tmp_path, vllm_python=str(python)):
            pass
    assert not any(alive(call["pid"]) for call in calls(tmp_path / "v"))


async def test_a_watched_server_is_started_again_once(tmp_path: Path) -> None:
    said: list[str] = []
    python = make(tmp_path / "v")
    place = Place(tmp_path, said.append, vllm_python=str(python))
    async with started(Vllm(MODEL), place, Serving(replicas=1), {}) as ready:
        (server,) = ready.servers

        async def killed() -> None:
            for number in (1, 2):
                while len(calls(tmp_path / "v")) < number:  # noqa: ASYNC110 - another process writes them
                    await anyio.sleep(0.05)
                await anyio.sleep(0.3)
                os.kill(calls(tmp_path / "v")[-1]["pid"], signal.SIGKILL)

        async with anyio.create_task_group() as group:
            group.start_soon(killed)
            with pytest.raises(ModelUnavailable, match="died a second time"):
                await server.watch()
    assert any("starting it again" in text for text in said)


async def test_a_server_that_hangs_is_ended_and_started_again_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.model.process._LOOK", 0.5)
    monkeypatch.setattr("agent.model.process._SILENCE", 3.0)
    said: list[str] = []
    python = make(tmp_path / "v")
    place = Place(tmp_path, said.append, vllm_python=str(python))

    def stop(number: int) -> None:
        os.kill(calls(tmp_path / "v")[number]["pid"], signal.SIGSTOP)

    async with started(Vllm(MODEL), place, Serving(replicas=1), {}) as ready:
        (server,) = ready.servers
        await anyio.sleep(2.0)
        assert len(calls(tmp_path / "v")) == 1, "one that answers is left alone"
        stop(0)
        with anyio.fail_after(30):
            while len(calls(tmp_path / "v")) < 2:  # noqa: ASYNC110 - another process writes them
                await anyio.sleep(0.05)
        await server.revive()  # waits until it answers
        assert "vllm gave no sign of life for 3 s and was ended; starting it again" in said
        assert not alive(calls(tmp_path / "v")[0]["pid"])
        stop(1)
        with anyio.fail_after(30):
            with pytest.raises(ModelUnavailable, match=r"second time, this time it gave no sign of life .* it hangs"):
                await server.watch()
    assert len(calls(tmp_path / "v")) == 2


async def test_a_gpu_that_vllm_does_not_see_is_no_reason_to_serve_on_the_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = make(tmp_path / "v", gpus=0)
    monkeypatch.setattr("agent.model.vllm.gpu_there", lambda: True)
    place = Place(tmp_path, print, vllm_python=str(python))
    with pytest.raises(ModelUnavailable, match=r"shows a GPU, .*sees none \(The NVIDIA driver .* update the driver"):
        async with started(Vllm(MODEL), place, Serving(), {}):
            pass
    assert not (tmp_path / "v" / "calls").exists()
