"""Fenced blocks."""

from hypothesis import given
from hypothesis import strategies as st

from agent.edit.blocks import fenced_blocks


def test_blocks_and_what_stands_before_them() -> None:
    first, second = fenced_blocks("Intro\n```python\na\n```\nthen\n~~~\nb\n```\nc\n~~~\n")
    assert (first.text, first.language, first.before, first.closed) == ("a\n", "python", ("Intro",), True)
    assert (second.text, second.language, second.before) == ("b\n```\nc\n", "", ("then",))


def test_a_longer_fence_holds_a_shorter_one() -> None:
    (only,) = fenced_blocks("````md\n```\nx\n```\n````")
    assert only.text == "```\nx\n```\n"


def test_an_indented_fence_loses_its_indentation() -> None:
    (only,) = fenced_blocks("1. so:\n   ```py\n   x = 1\n     y\n   ```\n")
    assert only.text == "x = 1\n  y\n"


def test_an_open_block_says_so() -> None:
    (only,) = fenced_blocks("```python\nx = 1")
    assert (only.text, only.closed) == ("x = 1\n", False)


def test_the_first_end_that_makes_a_whole_is_taken() -> None:
    text = "```\n(\n```\n)\n```\nrest"
    (only,) = fenced_blocks(text, lambda body: body.count("(") == body.count(")"))
    assert only.text == "(\n```\n)\n"
    assert fenced_blocks(text, lambda body: False)[0].text == "(\n"


@given(st.text(st.sampled_from("`~ \nab"), max_size=60))
def test_never_raises(text: str) -> None:
    assert all(block.text == "" or block.text.endswith("\n") for block in fenced_blocks(text))
