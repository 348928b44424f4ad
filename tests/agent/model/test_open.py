"""From spec to running model."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.errors import ModelDenied, ModelSpecError, ModelUnavailable
from agent.model import open as module
from agent.model import start
from agent.model.base import Message, Request, Sampling, Stage
from agent.model.open import default_spec, open_model
from agent.model.process import free_port
from agent.model.serving import Gpu
from agent.model.spec import Embedded, Vllm
from agent.model.vllm import Installed
from tests.agent.model.fake_server import Status, fake_server

ASK = Request((Message("user", "hello"),), Sampling(), Stage.EDITING, "editing-0")


async def test_scripted(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text('[[rule]]\nanswers = ["hi"]\n')
    async with open_model(f"scripted:{tmp_path / 'r.toml'}", cache=tmp_path, overrides={"parallel": 2}) as model:
        assert (await model.complete(ASK))[0].text == "hi"
        assert model.profile.parallel == 2


async def test_an_endpoint_with_the_context_that_it_says_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-general")
    monkeypatch.setenv("BESTPATCH_API_KEY", "sk-ours")
    async with fake_server(models=("fake-32b",), max_model_len=20_000) as server:
        async with open_model(f"openai:fake-32b@{server.url}", cache=tmp_path) as model:
            assert (await model.complete(ASK))[0].text
            assert model.profile.context_tokens == 20_000
            assert model.profile.context_budget == 10_000
        assert set(server.keys) == {"Bearer sk-ours"}
        changes = {"context_tokens": 8_000}
        async with open_model(f"openai:fake-32b@{server.url}", cache=tmp_path, overrides=changes) as model:
            assert model.profile.context_tokens == 8_000


async def test_an_endpoint_that_does_not_answer_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="cannot be reached"):
        async with open_model(f"openai:m@http://127.0.0.1:{free_port()}/v1", cache=tmp_path):
            pass


async def test_an_endpoint_that_denies(tmp_path: Path) -> None:
    async with fake_server() as server:
        server.models = ()
        server.moves = [Status(401, "no")] * 2
        async with open_model(f"openai:m@{server.url}", cache=tmp_path) as model:
            with pytest.raises(ModelDenied):
                await model.complete(ASK)


@pytest.mark.parametrize("spec", ["gpt-5", "", "openai:x"])
async def test_a_wrong_spec(spec: str, tmp_path: Path) -> None:
    with pytest.raises(ModelSpecError):
        async with open_model(spec, cache=tmp_path):
            pass


async def test_vllm_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(_: str | None) -> None:
        return None

    monkeypatch.setattr(start, "find_vllm", nothing)
    with pytest.raises(ModelUnavailable, match=r"bestpatch\[vllm\]"):
        async with open_model("vllm:Qwen/Qwen2.5-Coder-7B-Instruct", cache=tmp_path):
            pass


@pytest.mark.parametrize(
    ("gpus", "expected"),
    [
        (None, Embedded()),
        ((), Embedded()),
        ((8 << 30,), Embedded()),
        ((24 << 30,), Vllm("Qwen/Qwen2.5-Coder-7B-Instruct")),
        ((140 << 30, 140 << 30), Vllm("Qwen/Qwen2.5-Coder-32B-Instruct")),
    ],
)
async def test_the_default_depends_on_vllm_and_gpu(
    gpus: tuple[int, ...] | None, expected: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def found(_: str | None) -> Installed | None:
        seen = tuple(Gpu(memory, memory) for memory in gpus or ())
        return None if gpus is None else Installed("python", "1.0", "vllm", seen)

    monkeypatch.setattr(module, "find_vllm", found)
    assert await default_spec(print) == expected


async def test_a_gpu_that_is_not_seen_is_said_before_a_small_model_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    async def found(_: str | None) -> Installed | None:
        return Installed("python", "1.0", "vllm", (), "Found no NVIDIA driver")

    said: list[str] = []
    monkeypatch.setattr(module, "find_vllm", found)
    monkeypatch.setattr("agent.model.vllm.gpu_there", lambda: True)
    assert await default_spec(said.append) == Embedded()
    assert "shows a GPU" in said[0]
    assert "embedded" in said[0]
