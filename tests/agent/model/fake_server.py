"""A fake OpenAI-compatible server for tests of the client: counts words as tokens, remembers prefixes, and misbehaves
as it is told. It is no model: its answers are words drawn by the seed."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.abc

Body = dict[str, Any]
WORDS = ("alder", "birch", "cedar", "dogwood", "elm", "fir", "ginkgo", "hazel", "ironwood", "juniper")


@dataclass(frozen=True)
class Status:
    """Answer with a status instead of a completion."""

    code: int
    message: str = "no reason"
    headers: tuple[tuple[str, str], ...] = ()
    param: str | None = None


@dataclass(frozen=True)
class Raw:
    """Answer 200 with these bytes."""

    body: bytes


class Refuse:
    """Close the connection before a byte of the answer."""


class ResetMidBody:
    """Promise a long body, send a piece, reset the connection."""


class Hang:
    """Keep the socket open and never answer."""


Move = Status | Raw | Refuse | ResetMidBody | Hang


@dataclass
class FakeServer:
    """What it does, and what it was asked."""

    moves: list[Move] = field(default_factory=list)
    """Used up one by one; after them, it answers."""
    refuses: Callable[[Body], Status | None] = lambda _: None
    """A standing rule, such as a parameter that it does not know."""
    ignores_n: bool = False
    leaves_usage_out: bool = False
    counts_first_only: bool = False
    tokenizes: bool = False
    models: tuple[str, ...] = ("fake",)
    max_model_len: int | None = None
    delay: float = 0.0
    edit_reply: Callable[[Body], Body] = lambda reply: reply
    bodies: list[Body] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)
    """Idempotency keys of what was asked for."""
    answers: Callable[[Body, int], str] | None = None
    """The text of each choice, instead of words drawn by the seed."""
    running: int = 0
    most_running: int = 0
    cancelled: int = 0
    prompts: list[list[str]] = field(default_factory=list)
    url: str = ""

    async def serve(self, stream: anyio.abc.SocketStream) -> None:
        async with stream:
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                await self._serve(stream)

    async def _serve(self, stream: anyio.abc.SocketStream) -> None:
        data = b""
        while True:
            while b"\r\n\r\n" not in data:
                data += await stream.receive()
            head, _, data = data.partition(b"\r\n\r\n")
            lines = head.decode().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
            length = int(headers.get("content-length", 0))
            while len(data) < length:
                data += await stream.receive()
            text, data = data[:length], data[length:]
            path = lines[0].split()[1]
            self.keys.append(headers.get("authorization", ""))
            body = json.loads(text) if text else {}
            if path.endswith("/chat/completions"):
                self.same.append(headers.get("idempotency-key", ""))
                if not await self._chat(stream, body):
                    return
            elif path.endswith("/models"):
                entries = [{"id": name, "object": "model", "max_model_len": self.max_model_len} for name in self.models]
                await _send(stream, 200, {"object": "list", "data": entries})
            elif path == "/tokenize" and self.tokenizes:
                await _send(stream, 200, {"tokens": list(range(len(body["content"].split())))})
            else:
                await _send(stream, 404, {"error": {"message": f"no {path}"}})

    async def _chat(self, stream: anyio.abc.SocketStream, body: Body) -> bool:
        """False when the connection is over."""
        self.bodies.append(body)
        move: Move | None = self.moves.pop(0) if self.moves else self.refuses(body)
        match move:
            case Status():
                error = {"error": {"message": move.message, "param": move.param}}
                await _send(stream, move.code, error, move.headers)
                return True
            case Raw(raw):
                await _send(stream, 200, raw)
                return True
            case Refuse():
                return False
            case ResetMidBody():
                await stream.send(
                    b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9000\r\n\r\n{"cho'
                )
                sock = stream.extra(anyio.abc.SocketAttribute.raw_socket)
                sock.setsockopt(1, 13, struct.pack("ii", 1, 0))  # SO_LINGER 0: close with a reset
                return False
            case Hang():
                await self._until_closed(stream)
                return False
            case None:
                pass
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            if self.delay:
                with anyio.move_on_after(self.delay):
                    await self._until_closed(stream)
                    return False
            await _send(stream, 200, self.edit_reply(self._reply(body)))
        finally:
            self.running -= 1
        return True

    async def _until_closed(self, stream: anyio.abc.SocketStream) -> None:
        try:
            await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            self.cancelled += 1

    def _reply(self, body: Body) -> Body:
        prompt = " ".join(f"{message['role']} {message['content']}" for message in body["messages"]).split()
        known = max((_shared(prompt, earlier) for earlier in self.prompts), default=0)
        self.prompts.append(prompt)
        count = 1 if self.ignores_n else body.get("n", 1)
        choices = [self._choice(body, index) for index in range(count)]
        sizes = [len(choice["message"]["content"].split()) for choice in choices]
        usage = {
            "prompt_tokens": len(prompt),
            "completion_tokens": sizes[0] if self.counts_first_only else sum(sizes),
            "prompt_tokens_details": {"cached_tokens": min(known, len(prompt) - 1)},
        }
        reply: Body = {"id": "1", "object": "chat.completion", "choices": choices, "usage": usage}
        if self.leaves_usage_out:
            del reply["usage"]
        return reply

    def _choice(self, body: Body, index: int) -> Body:
        if self.answers is not None:
            message = {"role": "assistant", "content": self.answers(body, index)}
            return {"index": index, "message": message, "finish_reason": "stop"}
        dice = random.Random(body.get("seed", 0) + index)
        if "response_format" in body:
            text, finish = json.dumps({"tree": dice.choice(WORDS)}), "stop"
        else:
            words = [dice.choice(WORDS) for _ in range(dice.randint(20, 30))]
            room = body.get("max_tokens") or body.get("max_completion_tokens") or 1000
            text, finish = " ".join(words[:room]), "length" if room < len(words) else "stop"
            for stop in body.get("stop", []):
                text, found, _ = text.partition(stop)
                finish = "stop" if found else finish
        return {"index": index, "message": {"role": "assistant", "content": text}, "finish_reason": finish}


def _shared(one: list[str], other: list[str]) -> int:
    """Words that two prompts begin with in common."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


async def _send(
    stream: anyio.abc.SocketStream, code: int, body: Body | bytes, headers: tuple[tuple[str, str], ...] = ()
) -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {code} X", "content-type: application/json", f"content-length: {len(data)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    await stream.send("\r\n".join(lines).encode() + b"\r\n\r\n" + data)


@asynccontextmanager
async def fake_server(**settings: Any) -> AsyncGenerator[FakeServer]:
    """A fake server on a free port of the loopback, for the block."""
    server = FakeServer(**settings)
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as group:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        server.url = f"http://127.0.0.1:{port}/v1"
        group.start_soon(listener.serve, server.serve)
        yield server
        group.cancel_scope.cancel()
