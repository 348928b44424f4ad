"""How a request is put to a server, and how that changes with what the server refuses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from agent.model.base import Request
from agent.model.failures import Refused
from agent.model.reply import clean

# What a server may be asked to do without, in the words of its refusal. Messages and the model stay.
_OPTIONAL = ("max_tokens", "temperature", "top_p", "seed", "stop", "logprobs")
# Ways of asking for JSON, best first: OpenAI is strict about what a strict schema may hold, some servers know
# only json_object, some none; the caller parses and asks again anyway.
_JSON_WAYS = ("strict", "schema", "object", "none")
# As many as OpenAI's servers give, and vLLM's unless told.
_TOP_LOGPROBS = 20


class Dialect:
    """What one server has been found to understand. Learned once for all requests to it."""

    def __init__(self) -> None:
        self.single = False
        """It gives one answer to a request, whatever n says."""
        self._without: set[str] = set()
        self._renamed = False
        self._json_way = 0

    def body(self, model: str, request: Request, n: int, offset: int, extra: Mapping[str, object]) -> dict[str, Any]:
        """The body of a POST to `/chat/completions`."""
        sampling = request.sampling
        body: dict[str, Any] = {
            "model": model,
            "messages": [{"role": message.role, "content": clean(message.content)} for message in request.messages],
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": sampling.seed + offset,
            "max_completion_tokens" if self._renamed else "max_tokens": sampling.max_tokens,
        }
        if n > 1:
            body["n"] = n
        if sampling.stop:
            body["stop"] = list(sampling.stop)
        if sampling.json_schema is not None and (asked := self._response_format(sampling.json_schema)):
            body["response_format"] = asked
        if request.answers and "logprobs" not in self._without:
            body |= {"logprobs": True, "top_logprobs": _TOP_LOGPROBS}
        return {name: value for name, value in body.items() if name not in self._without} | dict(extra)

    def _response_format(self, schema: str) -> dict[str, Any] | None:
        way = _JSON_WAYS[self._json_way]
        if way == "object":
            return {"type": "json_object"}
        if way == "none":
            return None
        described: dict[str, Any] = {"name": "answer", "schema": json.loads(schema)}
        if way == "strict":
            described["strict"] = True
        return {"type": "json_schema", "json_schema": described}

    def learn(self, refused: Refused, body: Mapping[str, Any]) -> bool:
        """Change what the refusal is about. False when nothing of the request seems to be at fault."""
        said = f"{refused.param or ''} {refused.message}".lower()
        if "response_format" in body and any(word in said for word in ("response_format", "schema", "json", "grammar")):
            # Relative to what was asked, as several requests may be refused at once.
            self._json_way = max(self._json_way, _way(body["response_format"]) + 1)
            return True
        if "max_completion_tokens" in said and "max_tokens" in body:
            self._renamed = True
            return True
        if not any(word in said for word in ("unsupported", "not support", "unrecognized", "unknown", "not permitted")):
            return False
        for name in _OPTIONAL:
            if name in body and name in said:
                self._without.add(name)
                return True
        return False


def _way(asked: Mapping[str, Any]) -> int:
    if asked["type"] == "json_object":
        return _JSON_WAYS.index("object")
    return _JSON_WAYS.index("strict" if asked["json_schema"].get("strict") else "schema")
