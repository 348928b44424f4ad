"""Counts what completions cost, also where a server does not, or counts only the first of several."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence

from agent.model.base import Completion, Message, Price, Profile, Request, Usage
from agent.model.reply import Reply

_BELIEVED = 2
"""A server that counts more than so many times what it was allowed to write is not believed: its text is counted."""

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


class Accounts:
    """Counts the replies of one server, and learns whether its count covers all of several answers."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._counts_all: bool | None = None

    async def completions(
        self, reply: Reply, request: Request, seconds: float, profile: Profile
    ) -> tuple[Completion, ...]:
        """The reply's completions with their usage: the prompt on the first, the time shared evenly."""
        messages, max_tokens = request.messages, request.sampling.max_tokens
        counts = await self._completion_tokens(reply, max_tokens, profile)
        prompt = reply.prompt_tokens
        if prompt is None:
            prompt = estimate_prompt(messages, profile)
        cached = min(reply.cached_tokens, prompt)
        completions: list[Completion] = []
        for index, (choice, count) in enumerate(zip(reply.choices, counts, strict=True)):
            first = index == 0
            usage = Usage(
                prompt_tokens=prompt if first else 0,
                cached_tokens=cached if first else 0,
                completion_tokens=count,
                seconds=seconds / len(counts),
                money=money(profile.price, prompt if first else 0, cached if first else 0, count),
                calls=1 if first else 0,
            )
            completions.append(Completion(choice.text, choice.finish, usage, _chances(choice.first, request.answers)))
        return tuple(completions)

    async def _completion_tokens(self, reply: Reply, max_tokens: int, profile: Profile) -> list[int]:
        counted = reply.completion_tokens
        if counted is not None and counted > _BELIEVED * max_tokens * len(reply.choices):
            counted = None
        if counted is not None and len(reply.choices) == 1:
            return [counted]
        if counted is not None and counted > max_tokens:
            self._counts_all = True  # more than one answer can have
        sizes = [estimate_tokens(choice.text, profile) for choice in reply.choices]
        if counted is not None and self._counts_all:
            return _share(counted, sizes)
        exact = [await self._tokenizer(choice.text) for choice in reply.choices]
        known = [count for count in exact if count is not None]
        if len(known) == len(sizes):
            sizes = known
        if counted is not None:
            all_of_them = _nearer_to_all(counted, sizes)
            if sizes is known and sum(sizes) > 2 * sizes[0]:  # exact, and the two readings are far apart
                self._counts_all = all_of_them
            if all_of_them:
                return _share(counted, sizes)
            if sizes is not known:
                sizes = [round(size * counted / max(1, sizes[0])) for size in sizes]
        # An answer that ended by itself has an end-of-turn token that its text does not show.
        ended = [choice.finish == "stop" for choice in reply.choices]
        counts = [min(size + end, max_tokens) for size, end in zip(sizes, ended, strict=True)]
        return counts if counted is None else [counted, *counts[1:]]


def _chances(first: Mapping[str, float] | None, answers: Sequence[str]) -> dict[str, float] | None:
    return {answer: first.get(answer, 0.0) for answer in answers} if answers and first is not None else None


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
