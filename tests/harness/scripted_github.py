"""A scripted GitHub on loopback: it answers as it is told, and keeps what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class Asked:
    method: str
    path: str
    token: str | None
    body: Any


@dataclass
class ScriptedGitHub:
    url: str = ""
    issues: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    """`OWNER/NAME/NUMBER` -> the issue."""
    pulls: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    failures: list[tuple[int, dict[str, str], str]] = field(default_factory=list[tuple[int, dict[str, str], str]])
    """Answers that come first: status, headers, body."""
    drafts: bool = True
    asked: list[Asked] = field(default_factory=list[Asked])

    def environ(self, token: str | None = None) -> dict[str, str]:
        return {"GITHUB_API_URL": self.url, **({"GITHUB_TOKEN": token} if token else {})}

    def answer(self, asked: Asked) -> tuple[int, dict[str, str], str]:
        self.asked.append(asked)
        if self.failures:
            return self.failures.pop(0)
        parts = asked.path.partition("?")[0].strip("/").split("/")
        if asked.method == "GET" and parts[3:] == ["issues"]:
            label = parse_qs(urlsplit(asked.path).query)["labels"][0]
            found = [issue for issue in self.issues.values() if label in issue.get("labels", ())]
            return 200, {}, json.dumps(found)
        if asked.method == "GET" and parts[3] == "issues":
            issue = self.issues.get("/".join([*parts[1:3], parts[4]]))
            return (200, {}, json.dumps(issue)) if issue else (404, {}, '{"message": "Not Found"}')
        if asked.method == "GET":
            head = parse_qs(urlsplit(asked.path).query)["head"][0]
            return 200, {}, json.dumps([pull for pull in self.pulls if pull["head"] == head.partition(":")[2]])
        if asked.body.get("draft") and not self.drafts:
            return 422, {}, '{"message": "Draft pull requests are not supported in this repository."}'
        self.pulls.append({**asked.body, "html_url": f"{self.url}/pull/{len(self.pulls) + 1}"})
        return 201, {}, json.dumps(self.pulls[-1])


@contextmanager
def serving() -> Generator[ScriptedGitHub]:
    github = ScriptedGitHub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            asked = Asked(self.command, self.path, self.headers.get("Authorization"), body)
            status, headers, text = github.answer(asked)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(text.encode())), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text.encode())

        do_POST = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            """Not on the terminal."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        github.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield github
        finally:
            server.shutdown()
            thread.join()
