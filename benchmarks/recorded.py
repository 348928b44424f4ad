"""Model answers that are recorded once and served again: the same question gets the same answer, however often.

A question is known by the shared prefix, the seed and the number of answers, which together name a task's turn; what a
test script printed (times, addresses) may differ from run to run and still is the same turn.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from pathlib import Path

from answers import Answer, Answers, Body
from anyio.from_thread import BlockingPortal

from agent.model.base import Message, Model, Request, Sampling, Stage


def question(body: Body) -> str:
    """What a request is known by."""
    messages = body["messages"]
    seed = body.get("seed", 0)
    # Comparisons, the survey and rankings are drawn with the run's own seed: the first prompt tells them apart.
    prompt = messages[1]["content"] if seed < 1000 and len(messages) > 1 else ""
    parts = [messages[0]["content"], prompt, str(seed), str(body.get("n", 1)), str(len(messages))]
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()[:24]


class Recording:
    """Answers by question, in a JSONL file. `unknown` counts the questions that it could not answer."""

    def __init__(self, path: Path, ask: Callable[[Body], Answers] | None = None) -> None:
        """`ask`: who answers what is not recorded yet; without, such a question is a fault."""
        self._path = path
        self._ask = ask
        self._lock = threading.Lock()
        self._known: dict[str, Answers] = {}
        self.unknown = 0
        for line in path.read_text("utf-8").splitlines() if path.is_file() else []:
            row = json.loads(line)
            name, choices = row.pop("question"), [Answer(**choice) for choice in row.pop("choices")]
            self._known[name] = Answers(choices, **row)

    def __len__(self) -> int:
        return len(self._known)

    def __call__(self, body: Body) -> Answers:
        name = question(body)
        known = self._known.get(name)
        if known is not None:
            return known
        if self._ask is None:
            self.unknown += 1
            return Answers([Answer("")] * body.get("n", 1))
        answers = self._ask(body)
        with self._lock:
            self._known[name] = answers
            row = {"question": name, **answers.__dict__, "choices": [choice.__dict__ for choice in answers.choices]}
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        return answers


def asker(model: Model, portal: BlockingPortal) -> Callable[[Body], Answers]:
    """Asks a model that lives in another thread's loop."""

    def ask(body: Body) -> Answers:
        messages = tuple(Message(message["role"], message["content"]) for message in body["messages"])
        schema = body.get("response_format", {}).get("json_schema", {}).get("schema")
        sampling = Sampling(
            body.get("temperature", 0.0),
            body.get("top_p", 1.0),
            body.get("max_tokens", 1024),
            body.get("seed", 0),
            tuple(body.get("stop", ())),
            json.dumps(schema) if schema else None,
        )
        request = Request(messages, sampling, Stage.EDITING, f"recorded-{sampling.seed}")
        found = portal.call(model.complete, request, body.get("n", 1))
        return Answers(
            [Answer(each.text, each.finish) for each in found],
            sum(each.usage.prompt_tokens for each in found),
            sum(each.usage.cached_tokens for each in found),
            sum(each.usage.completion_tokens for each in found),
        )

    return ask
