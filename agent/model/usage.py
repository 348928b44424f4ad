"""Counts what completions cost, also where a server does not, or counts only the first of several."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from agent.model.base import Completion, Message, Price, Profile, Usage
from agent.model.reply import Reply

Tokenizer = Callable[[str], Awaitable[int | None]]
"""Tokens of a text by the server's own count; None when it offers none."""


def estimate_tokens(text: str, profile: Profile) -> int:
    """Tokens by the profile's characters per token, at least 1 for any text."""
    return math.ceil(len(text) / profile.chars_per_token)


def estimate_prompt(messages: Sequence[Message], profile: Profile) -> int:
    """Tokens of a prompt; chat templates add about five for each message."""
    return sum(estimate_tokens(message.content, profile) + 5 for message in messages)


def money(price: Price, prompt: int, cached: int, completion: int) -> float:
    """US dollars; cached prompt tokens have a price of their own."""
    return ((prompt - cached) * price.prompt + cached * price.cached + completion * price.completion) / 1e6


@dataclass(frozen=True)
class Asked:
    """What a reply answers, for counting."""

    messages: tuple[Message, ...]
    profile: Profile
    seconds: float


async def completions_of(reply: Reply, asked: Asked, tokenizer: Tokenizer) -> tuple[Completion, ...]:
    """The reply's completions with their usage: the prompt on the first, the time shared evenly."""
    profile = asked.profile
    counts = await _completion_tokens(reply, profile, tokenizer)
    prompt = reply.prompt_tokens
    if prompt is None:
        prompt = estimate_prompt(asked.messages, profile)
    cached = min(reply.cached_tokens, prompt)
    completions: list[Completion] = []
    for index, (choice, count) in enumerate(zip(reply.choices, counts, strict=True)):
        first = index == 0
        usage = Usage(
            prompt_tokens=prompt if first else 0,
            cached_tokens=cached if first else 0,
            completion_tokens=count,
            seconds=asked.seconds / len(counts),
            money=money(profile.price, prompt if first else 0, cached if first else 0, count),
            calls=1 if first else 0,
        )
        completions.append(Completion(choice.text, choice.finish, usage))
    return tuple(completions)


async def _completion_tokens(reply: Reply, profile: Profile, tokenizer: Tokenizer) -> list[int]:
    counted = reply.completion_tokens
    if counted is not None and len(reply.choices) == 1:
        return [counted]
    sizes = [estimate_tokens(choice.text, profile) for choice in reply.choices]
    if counted is not None and _nearer_to_all(counted, sizes):
        return _share(counted, sizes)
    exact = [await tokenizer(choice.text) for choice in reply.choices]
    known = [count for count in exact if count is not None]
    if len(known) < len(sizes):
        known = sizes if counted is None else [round(size * counted / max(1, sizes[0])) for size in sizes]
    # An answer that ended by itself has an end-of-turn token that its text does not show.
    counts = [count + (choice.finish == "stop") for count, choice in zip(known, reply.choices, strict=True)]
    return counts if counted is None else [counted, *counts[1:]]


def _nearer_to_all(counted: int, sizes: list[int]) -> bool:
    """Whether a count fits all choices better than it fits the first alone (as llama.cpp counts)."""

    def distance(size: int) -> float:
        return abs(math.log((counted + 1) / (size + 1)))

    return distance(sum(sizes)) <= distance(sizes[0])


def _share(total: int, sizes: list[int]) -> list[int]:
    """Whole numbers in proportion to the sizes that sum to the total exactly."""
    whole = sum(sizes) or len(sizes)
    parts: list[int] = []
    reached = given = 0
    for size in sizes:
        reached += size if sum(sizes) else 1
        part = total * reached // whole - given
        parts.append(part)
        given += part
    return parts
