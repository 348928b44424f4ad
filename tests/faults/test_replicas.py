"""Rows 24 and 25 with two servers that hold the same model: one is killed, stopped, or lies, and the other answers."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from agent.model.client import OpenAIModel, Patience
from agent.model.profile import profile_for
from agent.model.replicas import Replicas
from harness.batch import BatchSettings, batch
from harness.batch_record import BatchSummary
from tests.agent.model.fake_server import Raw, fake_server
from tests.faults.drive_batch import MODEL, jobs, judged, settings
from tests.faults.test_model_faults import QUICK, in_flight, patches, said, server_process
from tests.harness.conftest import FILES
from tests.waiting import until

from noop import MemoryBackend  # isort: skip - test_model_faults put the benchmarks' folder on the path

pytestmark = pytest.mark.usefixtures("own_cache")
STALL = Patience(connect=2, least=1.0, prompt_rate=1e6, answer_rate=1e6, total=1.5)
"""For servers that answer within a tenth of a second."""


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BESTPATCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("agent.model.replicas._PROBE_SECONDS", 0.5)
    monkeypatch.setattr("agent.model.replicas.PAUSES", (0.2,))


@asynccontextmanager
async def replicas(*urls: str, heard: list[str], patience: Patience = QUICK) -> AsyncGenerator[Replicas]:
    profile = replace(profile_for(MODEL), parallel=40)
    clients = [
        OpenAIModel(base_url=url, model=MODEL, profile=profile, local=True, patience=patience, tries=1) for url in urls
    ]
    try:
        yield Replicas(clients, say=heard.append)
    finally:
        for client in clients:
            await client.aclose()


async def solved(model: Replicas, run: Path, url: str) -> BatchSummary:
    own = settings(url).model_copy(update={"candidates": 8})
    how = BatchSettings(workers=4, patience=60.0)
    return await batch(jobs(4), own, run=run, how=how, model=model, backend=MemoryBackend(FILES, judged))


def address(port: int) -> str:
    return f"http://127.0.0.1:{port}/v1"


@pytest.mark.parametrize("what", [signal.SIGKILL, signal.SIGSTOP])
async def test_one_of_two_goes_and_nobody_waits_for_it(
    tmp_path: Path, free_tcp_port_factory: object, what: signal.Signals
) -> None:
    ports = [free_tcp_port_factory(), free_tcp_port_factory()]  # type: ignore[operator]
    first, second = map(address, ports)
    heard: list[str] = []
    done: list[BatchSummary] = []
    with anyio.fail_after(120):
        async with server_process(ports[0], 0.0), replicas(first, heard=heard) as alone:
            await solved(alone, tmp_path / "whole", first)
        async with (
            server_process(ports[0], 0.1) as one,
            server_process(ports[1], 0.1),
            replicas(first, second, heard=heard, patience=STALL) as model,
        ):

            async def whole() -> None:
                done.append(await solved(model, tmp_path / "run", first))

            async with anyio.create_task_group() as group:
                group.start_soon(whole)
                await until(lambda: in_flight(tmp_path / "run") >= 8)
                os.kill(one.pid, what)
            assert done[0].counts == {"selected": 4}
            assert patches(tmp_path / "run") == patches(tmp_path / "whole")
            assert any("1 of 2 is left out" in text for text in heard)
            if what is signal.SIGSTOP:
                os.kill(one.pid, signal.SIGCONT)
                with anyio.fail_after(60):
                    while "1 of 2 answers again" not in heard[-1]:
                        await anyio.sleep(0.1)
                        await model.check()


@pytest.mark.parametrize("lie", ["<html>It works!</html>", '{"choices": []}', '{"choices": [{}]}'])
async def test_one_of_two_lies(tmp_path: Path, lie: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.model.replicas.PAUSES", (600.0,))
    heard: list[str] = []
    async with (
        fake_server(answers=said, models=(MODEL,)) as liar,
        fake_server(answers=said, models=(MODEL,)) as honest,
        replicas(liar.url, honest.url, heard=heard) as model,
    ):
        liar.moves = [Raw(lie.encode())] * 1000
        summary = await solved(model, tmp_path / "run", liar.url)
    assert summary.counts == {"selected": 4}
    assert sum("1 of 2 is left out" in text for text in heard) == 1
    assert len(liar.bodies) <= 4 * 8, "no more than were under way when it was left out"
