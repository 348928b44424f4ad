"""Reading completions: any bytes are a reply or a typed failure."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import ModelReplyInvalid
from agent.model.reply import clean, cut_runaway, read_reply


def body(*choices: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"choices": choices, **more}).encode()


def choice(content: object, **more: Any) -> dict[str, Any]:
    return {"message": {"content": content}, **more}


def test_what_servers_do_differently() -> None:
    reply = read_reply(body(choice(None), choice([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])))
    assert [c.text for c in reply.choices] == ["", "ab"]
    assert reply.prompt_tokens is None
    deepseek = read_reply(body(choice("x"), usage={"prompt_tokens": 9, "prompt_cache_hit_tokens": 8}))
    assert deepseek.cached_tokens == 8


def test_choices_come_in_order_of_their_index() -> None:
    reply = read_reply(body(choice("second", index=1), choice("first", index=0), choice("twice", index=1)))
    assert [c.text for c in reply.choices] == ["first", "second"]


@pytest.mark.parametrize(
    ("reason", "finish"), [("length", "length"), ("stop", "stop"), (None, "stop"), ("eos", "stop")]
)
def test_how_it_ended(reason: str | None, finish: str) -> None:
    assert read_reply(body(choice("x", finish_reason=reason))).choices[0].finish == finish


def test_deep_nesting_is_a_failure_of_the_server_not_of_us() -> None:
    with pytest.raises(ModelReplyInvalid):
        read_reply(b"[" * 100_000)


@given(
    st.binary()
    | st.text().map(str.encode)
    | st.recursive(st.none() | st.text(), st.lists).map(json.dumps).map(str.encode)
)
def test_any_bytes_are_a_reply_or_invalid(data: bytes) -> None:
    with pytest.raises(ModelReplyInvalid):
        read_reply(data)


@given(st.text(st.characters(codec=None)))
def test_cleaned_text_can_be_stored(text: str) -> None:
    assert "\0" not in clean(text)
    clean(text).encode("utf-8")


@pytest.mark.parametrize("piece", ["a", "return x\n", "    if a == b:\n        return c\n" * 5])
def test_a_runaway_is_cut_to_two_copies(piece: str) -> None:
    start = "def f():\n# so far so good, and then:\n"
    cut = cut_runaway(start + piece * (3_000 // len(piece)))
    assert cut.startswith(start)
    assert len(cut) <= len(start) + 3 * len(piece)


def test_an_answer_that_ended_by_itself_is_never_cut() -> None:
    zeros = "x = [" + "0, " * 2_000 + "]"
    assert read_reply(body(choice(zeros + " 0" * 2_000, finish_reason="stop"))).choices[0].text.endswith(" 0" * 2_000)


@given(st.text(max_size=1_100))
def test_short_answers_are_never_cut(text: str) -> None:
    assert cut_runaway(text) == text


def with_logprobs(*tokens: tuple[str, float]) -> bytes:
    top = [{"token": token, "logprob": logprob, "bytes": None} for token, logprob in tokens]
    place = {"token": tokens[0][0], "logprob": tokens[0][1], "top_logprobs": top}
    return body(choice("A", logprobs={"content": [place, {**place, "top_logprobs": []}]}))


def test_likely_first_tokens_are_read_and_those_that_differ_by_space_are_one() -> None:
    (read,) = read_reply(with_logprobs(("A", math.log(0.5)), (" A", math.log(0.125)), ("b", math.log(0.25)))).choices
    assert read.first == pytest.approx({"A": 0.625, "b": 0.25})
    (certain,) = read_reply(with_logprobs(("A", 1e-9), ("B", -9999.0))).choices  # rounded above certainty by the server
    assert certain.first == {"A": 1.0, "B": 0.0}


@pytest.mark.parametrize(
    "logprobs",
    [
        None,
        {"content": None},
        {"content": []},
        {"content": [{"token": "A", "logprob": 0.0}]},
        {"tokens": ["A"], "token_logprobs": [0.0]},  # as completions without chat have them
        {"content": [{"top_logprobs": [{"token": "A", "logprob": None}]}]},
        "none",
    ],
)
def test_a_reply_without_probabilities_is_good_otherwise(logprobs: object) -> None:
    (read,) = read_reply(body(choice("A", logprobs=logprobs))).choices
    assert (read.text, read.first) == ("A", None)
