"""Reads a chat completion's JSON, forgiving what servers do differently and nothing else."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from agent.errors import ModelReplyInvalid

_SURROGATES = re.compile("[\ud800-\udfff]")

# A runaway answer repeats a piece of at most this many characters ...
_LONGEST_PIECE = 800
# ... until this many are the same over and over. Real code and data stay below, or end by themselves.
_RUNAWAY = 1_200


@dataclass(frozen=True)
class Choice:
    """One answer as the server gave it, cleaned."""

    text: str
    finish: Literal["stop", "length"]
    first: Mapping[str, float] | None = None
    """Likely first tokens, without the space around them -> probability; None where the server gives none."""


@dataclass(frozen=True)
class Reply:
    """What one HTTP request brought. Counts are None where the server left them out."""

    choices: tuple[Choice, ...]
    prompt_tokens: int | None
    cached_tokens: int
    completion_tokens: int | None


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore")


class _Part(_Lenient):
    text: str = ""


class _Message(_Lenient):
    content: str | list[_Part] | None = None


class _Token(_Lenient):
    token: str
    logprob: FiniteFloat


class _Place(_Lenient):
    top_logprobs: list[_Token] | None = None


class _Logprobs(_Lenient):
    content: list[_Place] | None = None


class _Choice(_Lenient):
    index: int | None = None
    message: _Message
    finish_reason: str | None = None
    logprobs: Any = None  # read apart: nobody asked for them, most times, and a reply is good without


class _Details(_Lenient):
    cached_tokens: int | None = None


class _Usage(_Lenient):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Details | None = None
    prompt_cache_hit_tokens: int | None = None  # DeepSeek's name for it


class _Body(_Lenient):
    choices: list[_Choice] = Field(min_length=1)
    usage: _Usage | None = None


def read_reply(body: bytes) -> Reply:
    """The choices (one for each index, in order) and counts of a reply. Raises ModelReplyInvalid."""
    try:
        # Not pydantic's own parser, which refuses a whole reply for one lone surrogate.
        parsed = _Body.model_validate(_cleaned(json.loads(body)))
    except (ValueError, RecursionError) as error:
        start = clean(body[:200].decode("utf-8", "replace"))
        what = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise ModelReplyInvalid(
            f"the server's reply is no chat completion ({what}); it starts {start!r}. "
            "Check that the base URL ends where /chat/completions is served, often in /v1"
        ) from None
    by_index: dict[int, _Choice] = {}
    for position, choice in enumerate(parsed.choices):
        by_index.setdefault(position if choice.index is None else choice.index, choice)
    usage = parsed.usage or _Usage()
    details = usage.prompt_tokens_details or _Details()
    return Reply(
        choices=tuple(_read_choice(by_index[index]) for index in sorted(by_index)),
        prompt_tokens=usage.prompt_tokens,
        cached_tokens=details.cached_tokens or usage.prompt_cache_hit_tokens or 0,
        completion_tokens=usage.completion_tokens,
    )


def _read_choice(choice: _Choice) -> Choice:
    content = choice.message.content
    text = "".join(part.text for part in content) if isinstance(content, list) else content or ""
    first = _first_tokens(choice.logprobs)
    if choice.finish_reason == "length":
        return Choice(cut_runaway(text), "length", first)
    return Choice(text, "stop", first)


def _first_tokens(logprobs: Any) -> dict[str, float] | None:
    try:
        content = _Logprobs.model_validate(logprobs).content
    except ValidationError:
        return None
    top = content[0].top_logprobs if content else None
    if not top:
        return None
    found: dict[str, float] = {}
    for each in top:  # " A" and "A" are two tokens and one answer
        name = each.token.strip()
        # A server may round above certainty.
        found[name] = found.get(name, 0.0) + math.exp(min(0.0, each.logprob))
    return found


def _cleaned(value: Any) -> Any:
    """Parsed JSON with all its texts cleaned."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [_cleaned(each) for each in cast(list[Any], value)]
    if isinstance(value, dict):
        return {clean(name): _cleaned(each) for name, each in cast(dict[str, Any], value).items()}
    return value


def clean(text: str) -> str:
    """Text that can be stored and sent as UTF-8: lone surrogates replaced, NUL dropped."""
    return _SURROGATES.sub("\ufffd", text).replace("\0", "")


def cut_runaway(text: str) -> str:
    """The text without an end that repeats one piece over and over, of which two copies stay.

    Only asked of answers that ran into `max_tokens`: one that ended by itself meant what it says.
    """
    for period in range(1, min(_LONGEST_PIECE, len(text) // 4) + 1):
        piece = text[-period:]
        copies = max(4, -(-_RUNAWAY // period))
        if text.endswith(piece * copies):
            start = len(text) - copies * period
            while start >= period and text[start - period : start] == piece:
                start -= period
            return text[: start + 2 * period]
    return text
