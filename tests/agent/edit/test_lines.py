"""Lines that remember their endings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.edit.lines import read_source, replace_lines, split_lines

CHUNKS = st.lists(st.sampled_from(["a", "b ", "\n", "\r\n", "\r", "\x0c", "é", "\ufeff", "\u2028"]), max_size=20)


@given(CHUNKS.map("".join))
def test_lines_give_back_the_text(text: str) -> None:
    assert "".join(line.text + line.end for line in split_lines(text)) == text


@given(st.one_of(st.binary(max_size=60), CHUNKS.map(lambda parts: "".join(parts).encode())))
def test_every_content_is_rendered_back(content: bytes) -> None:
    source = read_source(content)
    assert source.render(source.lines) == content


@pytest.mark.parametrize(
    "content", [b"# coding: nonsense\n\xff\n", b"# coding: utf-16\n\xff\n", b"# coding: cp1252\n\x93x\x94\n"]
)
def test_declared_encodings_are_used_only_where_they_hold(content: bytes) -> None:
    source = read_source(content)
    assert source.render(source.lines) == content


@given(CHUNKS.map("".join), st.integers(0, 8), st.integers(0, 8), st.lists(st.sampled_from(["a", "x", ""]), max_size=4))
def test_lines_outside_the_replaced_ones_do_not_change(text: str, start: int, size: int, new: list[str]) -> None:
    lines = split_lines(text)
    start = min(start, len(lines))
    stop = min(start + size, len(lines))
    made = replace_lines(lines, start, stop, new, "\n")
    assert [line.text for line in made] == [x.text for x in lines[:start]] + new + [x.text for x in lines[stop:]]
    assert all(line.end for line in made[:-1])
    if lines and made:
        assert bool(made[-1].end) == bool(lines[-1].end)
    inner = made[: start if stop < len(lines) else max(start - 1, 0)]
    assert inner == lines[: len(inner)]
