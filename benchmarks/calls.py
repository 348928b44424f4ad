"""Model calls that are recorded as they are made, and sent again to a server as fast as it takes them."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx

from agent.model.base import Completion, ModelServer, Profile, Request
from agent.model.pulse import samples

BLOCK = 16
"""Tokens of a block of vLLM's prefix cache."""


@dataclass(frozen=True)
class Call:
    """A request and what came of it. Times are seconds on this machine's clock."""

    stage: str
    trajectory: str
    turn: int
    messages: list[dict[str, str]]
    temperature: float
    top_p: float
    max_tokens: int
    seed: int
    stop: list[str]
    n: int
    texts: list[str]
    tokens: list[int]
    """Of each answer."""
    prompt_tokens: int
    cached_tokens: int
    asked: float
    answered: float


class RecordingModel:
    """A model around a model, which writes down every call."""

    def __init__(self, model: ModelServer, path: Path) -> None:
        self._model = model
        self._path = path
        path.unlink(missing_ok=True)

    @property
    def profile(self) -> Profile:
        return self._model.profile

    async def complete(self, request: Request, n: int = 1) -> tuple[Completion, ...]:
        asked = time.monotonic()
        answers = await self._model.complete(request, n)
        sampling = request.sampling
        call = Call(
            *(request.stage.value, request.trajectory, request.turn),
            [{"role": message.role, "content": message.content} for message in request.messages],
            *(sampling.temperature, sampling.top_p, sampling.max_tokens, sampling.seed, list(sampling.stop), n),
            [answer.text for answer in answers],
            [answer.usage.completion_tokens for answer in answers],
            sum(answer.usage.prompt_tokens for answer in answers),
            sum(answer.usage.cached_tokens for answer in answers),
            *(asked, time.monotonic()),
        )
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(call)) + "\n")
        return answers

    async def check(self) -> None:
        await self._model.check()


@dataclass(frozen=True)
class Recorder:
    """Records the calls of a batch, each of its processes into a file of its own beside `path`; see `read_calls`."""

    path: Path

    def __call__(self, model: ModelServer) -> RecordingModel:
        return RecordingModel(model, self.path.with_suffix(f".{os.getpid()}{self.path.suffix}"))

    def files(self) -> list[Path]:
        """One for each process that has asked."""
        return list(self.path.parent.glob(f"{self.path.stem}.*{self.path.suffix}"))

    def forget(self) -> None:
        """Removes what is there of an earlier batch."""
        for path in (self.path, *self.files()):
            path.unlink(missing_ok=True)


def read_calls(path: Path) -> list[Call]:
    """In the order in which they were asked, whichever process asked: all of a machine have one clock."""
    files = [*([path] if path.is_file() else []), *Recorder(path).files()]
    lines = [line for file in files for line in file.read_text("utf-8").splitlines()]
    return sorted((Call(**json.loads(line)) for line in lines), key=lambda call: call.asked)


@dataclass(frozen=True)
class Server:
    """Where calls are sent. `root`: its address without /v1."""

    root: str
    model: str
    key: str = ""

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}

    def metrics(self) -> dict[str, float]:
        """vLLM's counters, summed over their labels; {} where the server has none."""
        try:
            text = httpx.get(f"{self.root}/metrics", headers=self.headers, timeout=30).raise_for_status().text
        except httpx.HTTPError:
            return {}
        found: dict[str, float] = {}
        for name, value in samples(text):
            if name.startswith("vllm:") and not name.endswith("_bucket"):
                found[name] = found.get(name, 0.0) + value
        return found

    def forget(self) -> bool:
        """Empty the prefix cache, where the server can: vLLM with VLLM_SERVER_DEV_MODE=1."""
        try:
            return httpx.post(f"{self.root}/reset_prefix_cache", headers=self.headers, timeout=60).status_code == 200
        except httpx.HTTPError:
            return False

    def tokens(self, conversations: Sequence[Sequence[Mapping[str, str]]]) -> list[list[int]]:
        """The token ids of prompts, as the server's chat template makes them."""

        async def one(client: httpx.AsyncClient, messages: Sequence[Mapping[str, str]]) -> list[int]:
            last = messages[-1]["role"] != "assistant"
            ask = {"model": self.model, "messages": list(messages), "add_generation_prompt": last}
            response = await client.post(f"{self.root}/tokenize", json=ask)
            return [int(token) for token in response.raise_for_status().json()["tokens"]]

        async def all_of_them() -> list[list[int]]:
            limits = httpx.Limits(max_connections=32)
            async with httpx.AsyncClient(headers=self.headers, timeout=120, limits=limits) as client:
                return list(await asyncio.gather(*(one(client, messages) for messages in conversations)))

        return asyncio.run(all_of_them())


def difference(before: Mapping[str, float], after: Mapping[str, float], name: str) -> float:
    """What a counter gained; nan where the server has none of that name."""
    return after[name] - before.get(name, 0.0) if name in after else float("nan")


@dataclass(frozen=True)
class Sent:
    """What came of calls that were sent again."""

    tokens: int
    seconds: float
    texts: list[list[str]]

    @property
    def rate(self) -> float:
        return self.tokens / self.seconds


def bodies(calls: Iterable[Call], model: str, *, exact: bool, without: Collection[str] = ()) -> list[dict[str, Any]]:
    """Requests like the recorded ones. `exact`: each writes as many tokens as the recorded answers had on average.
    `without`: names that are left out of them, such as `seed`."""
    found: list[dict[str, Any]] = []
    for call in calls:
        body: dict[str, Any] = {"model": model, "messages": call.messages, "n": call.n, "seed": call.seed}
        if exact:
            length = max(1, round(sum(call.tokens) / len(call.tokens)))
            body |= {"max_tokens": length, "min_tokens": length, "ignore_eos": True}
            body |= {"temperature": call.temperature, "top_p": call.top_p}
        else:
            body |= {"max_tokens": call.max_tokens, "temperature": 0.0, "n": 1}
            body |= {"stop": call.stop} if call.stop else {}
        found.append({name: value for name, value in body.items() if name not in without})
    return found


def send(server: Server, requests: Sequence[dict[str, Any]], *, at_once: int, processes: int = 1) -> Sent:
    """Send all requests, at most so many at once, from so many processes, for the client must not be the bound."""
    parts = [(server, list(requests[number::processes]), max(1, at_once // processes)) for number in range(processes)]
    started = time.monotonic()
    if processes == 1:
        done = [_sent(*parts[0])]
    else:
        with multiprocessing.get_context("fork").Pool(processes) as pool:
            started = time.monotonic()
            done = pool.starmap(_sent, parts)
    seconds = time.monotonic() - started
    texts: list[list[str]] = [[] for _ in requests]
    for number, (_, answers) in enumerate(done):
        texts[number::processes] = answers
    return Sent(sum(tokens for tokens, _ in done), seconds, texts)


@contextmanager
def busy(processes: int) -> Generator[None]:
    """Meanwhile so many processes start interpreters, one after the other, as executions do."""
    loop = 'while :; do "$0" -c "import typing"; done'
    started: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(processes):
            started.append(subprocess.Popen(["/bin/sh", "-c", loop, sys.executable], start_new_session=True))
        yield
    finally:
        for process in started:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _sent(server: Server, requests: Sequence[dict[str, Any]], at_once: int) -> tuple[int, list[list[str]]]:
    async def run() -> list[tuple[int, list[str]]]:
        limits = httpx.Limits(max_connections=at_once, max_keepalive_connections=at_once)
        room = asyncio.Semaphore(at_once)
        async with httpx.AsyncClient(headers=server.headers, timeout=600, limits=limits) as client:

            async def one(body: dict[str, Any]) -> tuple[int, list[str]]:
                async with room:
                    response = await client.post(f"{server.root}/v1/chat/completions", json=body)
                answer = response.raise_for_status().json()
                texts = [str(choice["message"]["content"]) for choice in answer["choices"]]
                return int(answer["usage"]["completion_tokens"]), texts

            return list(await asyncio.gather(*(one(body) for body in requests)))

    done = asyncio.run(run())
    return sum(tokens for tokens, _ in done), [texts for _, texts in done]


def ideal_hits(calls: Sequence[Call], prompts: Sequence[Sequence[int]], ends: Mapping[int, Sequence[int]]) -> int:
    """Prompt tokens that a cache which never forgets would have had: of each prompt the longest beginning, in whole
    blocks, that was there when it was asked, and never its last token, which has to be computed.

    `prompts`: token ids of each call in the order of asking; `ends`: of some calls, those of prompt and answer.
    Each answer of a call reads the prompt by itself, and all but the first find it whole.
    """
    seen: set[int] = set()
    later: list[tuple[float, Sequence[int]]] = []
    found = 0
    for number, (call, tokens) in enumerate(zip(calls, prompts, strict=True)):
        for _, answered in [item for item in later if item[0] <= call.asked]:
            seen.update(_blocks(answered))
        later = [item for item in later if item[0] > call.asked]
        blocks = _blocks(tokens)
        whole = (len(tokens) - 1) // BLOCK
        known = 0
        while known < whole and blocks[known] in seen:
            known += 1
        found += BLOCK * (known + (call.n - 1) * whole)
        seen.update(blocks)
        if number in ends:
            later.append((call.answered, ends[number]))
    return found


def _blocks(tokens: Sequence[int]) -> list[int]:
    """One number for each whole block and all before it."""
    found: list[int] = []
    chain = 0
    for start in range(0, len(tokens) - BLOCK + 1, BLOCK):
        chain = hash((chain, tuple(tokens[start : start + BLOCK])))
        found.append(chain)
    return found


def continued(calls: Sequence[Call]) -> dict[int, list[dict[str, str]]]:
    """Calls whose conversation goes on in a later one: number -> messages with the answer."""
    begun = {json.dumps(call.messages[:-2]) for call in calls if len(call.messages) > 3}
    found: dict[int, list[dict[str, str]]] = {}
    for number, call in enumerate(calls):
        if json.dumps(call.messages) in begun:
            found[number] = [*call.messages, {"role": "assistant", "content": call.texts[0]}]
    return found
