"""Counting tokens where servers count differently."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from agent.model.base import Request, Sampling, Stage
from agent.model.profile import profile_for
from agent.model.reply import Choice, Reply
from agent.model.usage import Accounts, _share  # pyright: ignore[reportPrivateUsage]

PROFILE = replace(profile_for("x"), chars_per_token=4.0)


async def no_tokenizer(_: str) -> int | None:
    return None


async def words(text: str) -> int | None:
    return len(text.split())


async def counts(accounts: Accounts, reply: Reply, max_tokens: int = 1000) -> list[int]:
    request = Request((), Sampling(max_tokens=max_tokens), Stage.EDITING, "t")
    done = await accounts.completions(reply, request, 1.0, PROFILE)
    return [completion.usage.completion_tokens for completion in done]


def reply(counted: int | None, *texts: str) -> Reply:
    return Reply(tuple(Choice(text, "length") for text in texts), 10, 0, counted)


async def test_a_count_above_the_room_of_one_answer_covers_all_even_when_estimates_say_otherwise() -> None:
    text = "a " * 80  # by the profile 40 tokens each, 160 in all; the server says 110
    accounts = Accounts(no_tokenizer)
    assert sum(await counts(accounts, reply(110, text, text, text, text), max_tokens=60)) == 110
    assert sum(await counts(accounts, reply(50, text, text, text, text), max_tokens=60)) == 50  # learned


async def test_the_servers_tokenizer_settles_it_once() -> None:
    asked: list[str] = []

    async def tokenizer(text: str) -> int | None:
        asked.append(text)
        return len(text.split())

    accounts = Accounts(tokenizer)
    text = "one two three four"
    assert await counts(accounts, reply(12, text, text, text)) == [4, 4, 4]
    before = len(asked)
    assert await counts(accounts, reply(12, text, text, text)) == [4, 4, 4]
    assert len(asked) == before


async def test_a_first_only_count_leaves_the_rest_to_the_tokenizer() -> None:
    assert await counts(Accounts(words), reply(2, "a b", "a b c", "a b c d e")) == [2, 3, 5]


async def test_a_count_far_above_what_was_allowed_is_not_believed() -> None:
    assert await counts(Accounts(words), reply(10**9, "one two three"), max_tokens=60) == [3]
    assert await counts(Accounts(no_tokenizer), reply(10**9, "a " * 20, "a " * 20), max_tokens=60) == [10, 10]
    assert await counts(Accounts(words), reply(100, "one two three"), max_tokens=60) == [
        100
    ]  # thinking that is not shown


async def test_no_estimate_exceeds_what_was_allowed() -> None:
    assert await counts(Accounts(no_tokenizer), reply(None, "x" * 1000, "x"), max_tokens=16) == [16, 1]


@given(st.integers(0, 10**6), st.lists(st.integers(0, 10**4), min_size=1, max_size=40))
def test_shares_sum_to_the_total(total: int, sizes: list[int]) -> None:
    parts = _share(total, sizes)
    assert sum(parts) == total
    assert all(part >= 0 for part in parts)
