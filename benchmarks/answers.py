"""An OpenAI-compatible server on the loopback that gives answers it was told, and remembers what it was asked.

    with AnswerServer(answer, model="recorded") as server:
        ...  # openai:recorded@{server.url}
        server.asked, server.answered

`answer` turns a request's body into its texts. Requests are known by their Idempotency-Key, which begins with the key
that the request has in a run's journal.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

Body = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """One of a request's answers."""

    text: str
    finish: str = "stop"


@dataclass(frozen=True)
class Answers:
    """All answers to a request, and what they cost."""

    choices: Sequence[Answer]
    prompt_tokens: int = 100
    cached_tokens: int = 0
    completion_tokens: int = 100


@dataclass(frozen=True)
class Call:
    """A request as it came."""

    key: str
    """As in the journal."""
    part: str
    """Which of its answers are asked for: offset and number."""
    at: float


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever asked was killed: that is what this server is for."""


@dataclass
class AnswerServer:
    """Serves from `with` on until its block ends, in threads of this process."""

    answer: Callable[[Body], Answers]
    model: str = "recorded"
    seconds: float = 0.0
    """What an answer takes."""
    asked: list[Call] = field(default_factory=list[Call])
    answered: list[Call] = field(default_factory=list[Call])
    """Sent whole, as far as this end can know."""
    port: int = 0
    """0: a free one."""
    status: int = 0
    """When set, what is answered instead, with a connection that is closed."""

    def __enter__(self) -> AnswerServer:
        self._http = _Server(("127.0.0.1", self.port), self._handler())
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/v1"
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._http.server_close()

    def _handler(server: AnswerServer) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if server.status:
                    self._send(server.status, {"error": {"message": "as it was told"}})
                else:
                    self._send(200, {"object": "list", "data": [{"id": server.model, "object": "model"}]})

            def do_POST(self) -> None:
                body: Body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                if not self.path.endswith("/chat/completions"):
                    self._send(404, {"error": {"message": f"no {self.path}"}})
                    return
                if server.status:
                    self._send(server.status, {"error": {"message": "as it was told"}})
                    return
                key, _, part = self.headers.get("Idempotency-Key", "-").partition("-")
                server.asked.append(Call(key, part, time.monotonic()))
                answers = server.answer(body)
                time.sleep(server.seconds)
                if self._send(200, _reply(answers)):
                    server.answered.append(Call(key, part, time.monotonic()))

            def _send(self, code: int, body: Body) -> bool:
                data = json.dumps(body).encode()
                try:
                    self.send_response(code)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                    self.wfile.flush()
                except OSError:
                    self.close_connection = True
                    return False
                return True

            def log_message(self, format: str, *args: object) -> None:
                """Says nothing."""

        return Handler


def _reply(answers: Answers) -> Body:
    choices = [
        {"index": number, "message": {"role": "assistant", "content": each.text}, "finish_reason": each.finish}
        for number, each in enumerate(answers.choices)
    ]
    usage = {
        "prompt_tokens": answers.prompt_tokens,
        "completion_tokens": answers.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": answers.cached_tokens},
    }
    return {"id": "answers", "object": "chat.completion", "choices": choices, "usage": usage}
