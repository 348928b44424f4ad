"""Rows 24 to 27 of the faults: a model server that stumbles, dies, or says what nobody can use, under a batch."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from agent.model.client import OpenAIModel, Patience
from agent.model.profile import profile_for
from harness import gate
from harness.batch import BatchSettings, batch
from harness.batch_record import BatchSummary
from harness.batch_watch import BatchSilence
from harness.journal import read_turns
from harness.result import Result, Status
from sandbox.base import Patch
from tests.agent.model.fake_server import Body, FakeServer, Hang, Move, Raw, Refuse, ResetMidBody, fake_server
from tests.agent.model.fake_server import Status as Reply
from tests.faults.drive_batch import MODEL, answer, jobs, judged, settings
from tests.harness.conftest import FILES
from tests.waiting import until

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "benchmarks"))
from noop import MemoryBackend  # noqa: E402

QUICK = Patience(connect=2, least=1.0, prompt_rate=1e6, answer_rate=1e6, total=4, first_wait=0.01, longest_wait=0.05)


def said(body: Body, index: int) -> str:
    return str(answer(body).choices[index].text)


@asynccontextmanager
async def client(url: str, patience: Patience = QUICK) -> AsyncGenerator[OpenAIModel]:
    profile = replace(profile_for(MODEL), parallel=40)
    model = OpenAIModel(base_url=url, model=MODEL, profile=profile, local=True, patience=patience)
    try:
        yield model
    finally:
        await model.aclose()


async def solved(server: FakeServer, run: Path, *, count: int = 3, patience: float = 30.0) -> BatchSummary:
    async with client(server.url) as model:
        how = BatchSettings(workers=3, patience=patience)
        backend = MemoryBackend(FILES, judged)
        return await batch(jobs(count), settings(server.url), run=run, how=how, model=model, backend=backend)


def patches(run: Path) -> list[Patch]:
    return [json.loads(line)["model_patch"] for line in (run / "predictions.jsonl").read_text().splitlines()]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BESTPATCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(gate, "PAUSES", (0.05,))


MOVES: dict[str, list[Move]] = {
    "refused": [Refuse()] * 3,
    "reset in mid-stream": [ResetMidBody()] * 3,
    "hangs with an open socket": [Hang()],
    "429 with Retry-After": [Reply(429, "slow down", (("Retry-After", "0"),))] * 4,
    **{str(code): [Reply(code, "try later")] * 3 for code in (500, 502, 503)},
}


@pytest.mark.parametrize("what", MOVES)
async def test_row_24_a_server_that_stumbles_costs_nothing_but_time(tmp_path: Path, what: str) -> None:
    async with fake_server(answers=said, models=(MODEL,)) as server:
        await solved(server, tmp_path / "whole")
    async with fake_server(answers=said, models=(MODEL,)) as server:
        stumbled = False

        def stumble(_: Body) -> Reply | None:
            nonlocal stumbled
            if not stumbled and len(server.bodies) == 5:
                stumbled = True
                server.moves = list(MOVES[what])
            return None

        server.refuses = stumble
        summary = await solved(server, tmp_path / "run")
        assert stumbled
        assert server.moves == []
    assert summary.counts == {"selected": 3}
    assert patches(tmp_path / "run") == patches(tmp_path / "whole")


async def test_row_24_a_prompt_that_is_too_long_ends_its_own_trajectory(tmp_path: Path) -> None:
    async with fake_server(answers=said, models=(MODEL,)) as server:

        def too_long(body: Body) -> Reply | None:
            if "report task-00" in str(body["messages"]):
                return Reply(400, "the prompt exceeds the model's context length")
            return None

        server.refuses = too_long
        summary = await solved(server, tmp_path)
    assert summary.counts == {"no_candidate": 1, "selected": 2}


async def test_row_24_a_refused_key_stops_the_run_at_once_and_it_goes_on_with_a_good_one(tmp_path: Path) -> None:
    async with fake_server(answers=said, models=(MODEL,)) as server:
        server.refuses = lambda _: Reply(401, "no such key") if len(server.bodies) > 8 else None
        summary = await solved(server, tmp_path)
        assert summary.stopped is not None
        assert summary.stopped.kind == "ModelDenied"
        assert "BESTPATCH_API_KEY" in summary.stopped.message
        assert len(server.bodies) <= 8 + 40, "nothing that was not in flight is asked any more"
        before = len(server.same)
        known = set(server.same[:8])
        server.refuses = lambda _: None
        assert (await solved(server, tmp_path)).counts == {"selected": 3}
        assert known.isdisjoint(server.same[before:])


class Moments(BatchSilence):
    """Waits for what is said."""

    def __init__(self) -> None:
        self.away, self.back = anyio.Event(), anyio.Event()

    def said(self, text: str) -> None:
        (self.away if "waiting" in text else self.back).set()


@asynccontextmanager
async def server_process(port: int, seconds: float) -> AsyncGenerator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(  # noqa: ASYNC220 - it is started while nobody else is at work
        [sys.executable, "-m", "tests.faults.serve_answers", str(port), str(seconds)], cwd=ROOT, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        assert await anyio.to_thread.run_sync(process.stdout.readline)
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def in_flight(run: Path) -> int:
    """Editing trajectories that have begun, by their turns."""
    found = [read_turns(folder) for folder in run.glob("tasks/*")]
    return sum(len({turn.trajectory for turn in turns}) for turns in found)


async def test_row_25_a_server_that_is_killed_with_40_trajectories_in_flight_parks_them(
    tmp_path: Path, free_tcp_port: int
) -> None:
    url = f"http://127.0.0.1:{free_tcp_port}/v1"
    own = settings(url).model_copy(update={"candidates": 8})
    work, how = jobs(5), BatchSettings(workers=5, patience=120.0)

    async def run(out: Path, seconds: float, watch: BatchSilence) -> BatchSummary:
        async with client(url) as model:
            backend = MemoryBackend(FILES, judged, seconds)
            return await batch(work, own, run=out, how=how, model=model, backend=backend, watcher=watch)

    async with server_process(free_tcp_port, 0.05):
        await run(tmp_path / "whole", 0.0, BatchSilence())
    moments, out = Moments(), tmp_path / "run"
    summary: list[BatchSummary] = []

    async def whole() -> None:
        summary.append(await run(out, 0.0, moments))

    with anyio.fail_after(240):
        async with server_process(free_tcp_port, 0.3) as process, anyio.create_task_group() as group:
            group.start_soon(whole)
            await until(lambda: in_flight(out) >= 40)
            process.kill()
            await moments.away.wait()
            async with server_process(free_tcp_port, 0.0):
                await moments.back.wait()
                await until(lambda: bool(summary))
    assert summary[0].counts == {"selected": 5}
    assert patches(out) == patches(tmp_path / "whole")
    results = [Result.model_validate_json(path.read_bytes()) for path in out.glob("tasks/*/result.json")]
    assert [len(result.candidates) for result in results] == [8] * 5, "no trajectory was lost"


async def test_row_25_a_server_that_stays_dead_stops_the_run_and_the_diffs_are_kept(
    tmp_path: Path, free_tcp_port: int
) -> None:
    url, out = f"http://127.0.0.1:{free_tcp_port}/v1", tmp_path / "run"
    how = BatchSettings(workers=3, patience=0.2)
    stopped: list[BatchSummary] = []

    async def run() -> None:
        async with client(url) as model:
            backend = MemoryBackend(FILES, judged)
            stopped.append(await batch(jobs(3), settings(url), run=out, how=how, model=model, backend=backend))

    def has_a_patch() -> bool:
        turns = [turn for folder in out.glob("tasks/*") for turn in read_turns(folder)]
        return any(turn.outcome == "edit_passed" for turn in turns)

    with anyio.fail_after(120):
        async with server_process(free_tcp_port, 0.2) as process, anyio.create_task_group() as group:
            group.start_soon(run)
            await until(has_a_patch)
            process.kill()
    assert stopped[0].stopped is not None
    assert stopped[0].stopped.kind == "ModelUnavailable"
    assert "failed" not in stopped[0].counts
    results = [Result.model_validate_json(path.read_bytes()) for path in out.glob("tasks/*/result.json")]
    assert {result.status for result in results} <= {Status.INTERRUPTED, Status.SELECTED}
    assert any(candidate.patch for result in results for candidate in result.candidates)
    async with server_process(free_tcp_port, 0.0):
        await run()
    assert stopped[1].counts == {"selected": 3}


GARBAGE: dict[str, Callable[[str], str]] = {
    "nothing": lambda text: "",
    "cut off": lambda text: text[: len(text) // 3],
    "no code": lambda text: '{"tool": "edit", "arguments": {"path": ',
    "two actions": lambda text: '{"call": 1}\n{"call": 2}',
    "one token for ever": lambda text: "word " * 100_000,
    "a refusal": lambda text: "I am sorry, but I cannot help with that.",
    "another language": lambda text: "```ruby\nputs 'hello'\n```\n",
    "control characters": lambda text: "\x00\x1b[31m\ufffe\u202e" * 50,
}


async def test_row_26_garbage_is_counted_and_touches_nobody_else(tmp_path: Path) -> None:
    kinds = list(GARBAGE)

    def garbled(body: Body, index: int) -> str:
        text = said(body, index)
        for number, kind in enumerate(kinds):
            if f"report task-{number:02}" in str(body["messages"]):
                return GARBAGE[kind](text)
        return text

    async with fake_server(answers=garbled, models=(MODEL,)) as server:
        summary = await solved(server, tmp_path, count=len(kinds) + 1)
        own = settings(server.url)
    assert summary.counts == {"no_candidate": len(kinds), "selected": 1}
    profile = profile_for(MODEL)
    for number, kind in enumerate(kinds):
        folder = tmp_path / "tasks" / f"task-{number:02}"
        turns = read_turns(folder)
        outcomes = Counter(turn.outcome for turn in turns)
        assert set(outcomes) <= {"unreadable", "edit_invalid", "script_invalid"}, kind
        assert sum(outcomes.values()) <= own.candidates * (profile.test_turns + profile.edit_turns), kind
        assert max(len(turn.completion) for turn in turns) < 600_000
        assert "unreadable" in (folder / "report.html").read_text()


@pytest.mark.parametrize(
    "raw",
    [b"", b"<html>", b'{"choices": []}', b'{"choices": [{"message": ', b"\xff\xfe\x00", b"[" * 100_000],
    ids=["empty", "html", "no choice", "torn", "no text", "nested"],
)
async def test_row_26_a_reply_that_is_none_is_asked_for_again_then_typed(tmp_path: Path, raw: bytes) -> None:
    async with fake_server(answers=said, models=(MODEL,)) as server:
        server.refuses = lambda _: None
        server.moves = [Raw(raw)]
        assert (await solved(server, tmp_path / "once", count=1)).counts == {"selected": 1}
        server.moves = [Raw(raw)] * 1000
        summary = await solved(server, tmp_path / "always", count=1)
    assert summary.counts == {"no_candidate": 1}
    assert len(server.bodies) < 60, "a few tries, not a loop"


def odd_numbers(reply: Body) -> Body:
    for choice in reply["choices"]:
        choice["logprobs"] = {"content": [{"token": "x", "logprob": math.nan}, {"token": "y", "logprob": -math.inf}]}
    return {**reply, "id": "same", "created": 4102444800}


def without_usage(reply: Body) -> Body:
    return {name: value for name, value in reply.items() if name != "usage"}


def duplicated(reply: Body) -> Body:
    return {**reply, "choices": [choice for choice in reply["choices"] for _ in range(2)]}


@pytest.mark.parametrize("edit", [odd_numbers, without_usage, duplicated])
async def test_row_27_odd_numbers_change_nothing(tmp_path: Path, edit: Callable[[Body], Body]) -> None:
    async with fake_server(answers=said, models=(MODEL,)) as server:
        plain = await solved(server, tmp_path / "plain")
    async with fake_server(answers=said, models=(MODEL,), edit_reply=edit) as server:
        odd = await solved(server, tmp_path / "odd")
    assert odd.counts == plain.counts == {"selected": 3}
    assert patches(tmp_path / "odd") == patches(tmp_path / "plain")
    assert odd.usage.calls == plain.usage.calls
    assert odd.usage.prompt_tokens > 0, "counted here where the server did not"
    assert odd.usage.completion_tokens > 0
