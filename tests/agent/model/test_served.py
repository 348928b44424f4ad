"""What another process is told of servers is enough to ask them, and shows no key."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from agent.errors import ModelUnavailable
from agent.model.base import Message, Request, Sampling, Stage
from agent.model.open import open_model
from agent.model.process import free_port
from agent.model.served import Served, connected
from agent.model.serving import Serving
from tests.agent.model.fake_server import fake_server

SYSTEM = Message("system", "s" * 3_000)
ASK = Request((SYSTEM, Message("user", "hello")), Sampling(), Stage.EDITING, "editing-0")


async def found(spec: str, cache: Path, **more: object) -> Served:
    """What `open_model` says to other processes of the servers of a spec, as these get it."""
    heard: list[Served] = []
    async with open_model(spec, cache=cache, served=heard.append, **more):  # type: ignore[arg-type]
        (one,) = heard
        return pickle.loads(pickle.dumps(one))


async def test_another_process_asks_the_same_server_in_the_same_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BESTPATCH_API_KEY", "sk-ours")
    async with fake_server(models=("fake",), max_model_len=20_000) as server:
        served = await found(f"openai:fake@{server.url}", tmp_path, overrides={"parallel": 3})
        assert "sk-ours" not in repr(served)
        monkeypatch.delenv("BESTPATCH_API_KEY")
        server.keys.clear()
        async with connected(served, print) as model:
            assert (await model.complete(ASK))[0].text
            assert model.profile.parallel == 3
            assert model.profile.context_tokens == 20_000
        assert set(server.keys) == {"Bearer sk-ours"}
        assert len(server.bodies) == 1, "one server of the user's is not warmed"


async def test_a_context_that_the_user_names_stays(tmp_path: Path) -> None:
    async with fake_server(models=("fake",), max_model_len=20_000) as server:
        served = await found(f"openai:fake@{server.url}", tmp_path, overrides={"context_tokens": 9_000})
        async with connected(served, print) as model:
            assert model.profile.context_tokens == 9_000


async def test_processes_begin_at_different_servers_and_warm_them(tmp_path: Path) -> None:
    async with fake_server(models=("fake",)) as one, fake_server(models=("fake",)) as two:
        served = await found(f"openai:fake@{one.url},{two.url}", tmp_path, serving=Serving(routing="prefix"))
        for first, asked in ((0, one), (1, two)):
            one.bodies.clear()
            two.bodies.clear()
            async with connected(replace(served, first=first), print) as model:
                await model.complete(ASK)
            assert len(asked.bodies) == 2, "the prefix alone, then the request"
            assert len(one.bodies) + len(two.bodies) == 2


async def test_a_scripted_model_is_not_told_of(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text('[[rule]]\nanswers = ["hi"]\n')
    heard: list[Served] = []
    async with open_model(f"scripted:{tmp_path / 'r.toml'}", cache=tmp_path, served=heard.append):
        assert heard == []


async def test_servers_that_are_not_there(tmp_path: Path) -> None:
    async with fake_server(models=("fake",)) as server:
        served = await found(f"openai:fake@{server.url}", tmp_path)
    with pytest.raises(ModelUnavailable, match="cannot be reached"):
        async with connected(replace(served, urls=(f"http://127.0.0.1:{free_port()}/v1",)), print):
            pass
