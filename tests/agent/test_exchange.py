"""Answers that a stop text ended, and when one is asked for."""

from dataclasses import replace
from typing import Literal

import pytest

from agent.exchange import FENCE_END, closed
from agent.model.base import Completion, Usage


def answer(text: str, finish: Literal["stop", "length"] = "stop") -> Completion:
    return Completion(text, finish, Usage())


@pytest.mark.parametrize("text", ["```python\nassert f() == 1", "See:\n```python\nassert f() == 1\n"])
def test_a_block_that_the_stop_text_ended_is_closed_again(text: str) -> None:
    assert closed(answer(text)).text == text.rstrip("\n") + FENCE_END


@pytest.mark.parametrize(
    "given",
    [
        answer("```python\nassert f() == 1\n```"),
        answer("no code at all"),
        answer("```python\nassert f() ==", "length"),
    ],
)
def test_other_answers_stay_as_they_are(given: Completion) -> None:
    assert closed(given) == replace(given)
