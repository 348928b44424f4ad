"""Packing into a budget: skip what does not fit, show a part of the best that does not, never come out empty."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.context.outline import excerpt, names, outline, symbols
from agent.context.sources import Source
from agent.context.window import block, counter, pack
from sandbox.base import RepoPath

COUNT = counter(4.0)
CODE = '''\
"""Module."""

import os

LIMIT = 3


@decorated
def first(
    a,
    b,
):
    """Doc."""
    return a + b


class Thing(Base):
    """A thing."""

    size = 1

    def grow(self):
        # a comment
        return self.size + 1

    async def shrink(self):
        def inner():
            return 0

        return inner()
'''


def file(path: str, text: str) -> Source:
    return Source(RepoPath(path), text, False)


def test_symbols_have_their_scopes_and_lines() -> None:
    found = {symbol.qualified: symbol for symbol in symbols("a.py", CODE)}
    assert list(found) == ["first", "Thing", "Thing.grow", "Thing.shrink", "Thing.shrink.inner"]
    assert CODE.splitlines()[found["first"].start] == "@decorated"
    assert CODE.splitlines()[found["first"].end - 1] == "    return a + b"
    assert found["Thing.shrink.inner"].depth == 2


def test_broken_code_still_has_symbols() -> None:
    assert [symbol.name for symbol in symbols("a.py", "def good():\n    pass\n\ndef bad(:\n\ndef also():\n    pass\n")]


def test_an_outline_has_signatures_without_bodies() -> None:
    text = outline("a.py", CODE)
    assert "class Thing(Base):" in text
    assert "    def grow(self):" in text
    assert "return" not in text
    assert "inner" not in text
    assert outline("a.txt", "line\n" * 100).count("line") == 26  # the head, and how many more


def test_names_are_one_line() -> None:
    assert names("a.py", CODE) == "first, class Thing(grow, shrink)"


def test_an_excerpt_shows_what_is_wanted_and_signatures_of_the_rest() -> None:
    text = excerpt("a.py", CODE, {"Thing.grow"})
    assert "return self.size + 1" in text
    assert "return a + b" not in text
    assert "    b," in text
    assert "LIMIT = 3" in text
    assert "    [...]" in text
    assert "return inner()" in excerpt("a.py", CODE, {"Thing.shrink.inner"})
    assert excerpt("a.py", CODE, {"first", "Thing"}) == CODE.rstrip("\n")


def test_a_file_that_does_not_fit_is_skipped_and_not_the_end() -> None:
    files = [file("a.txt", "a" * 40), file("big.txt", "b\n" * 4000), file("c.txt", "c" * 40)]
    packed = pack(files, "nothing", 60, COUNT)
    assert packed.paths == ("a.txt", "c.txt")
    assert packed.left_out == ("big.txt",)


def test_of_the_best_file_that_is_too_long_the_issues_functions_are_shown() -> None:
    filler = "".join(f"def filler_{i}(x):\n    y = x * {i}\n    return y - {i}\n\n\n" for i in range(80))
    text = f"{filler}def parse_duration(text):\n    return text.split('h')\n\n\n{filler.replace('filler', 'other')}"
    packed = pack([file("clock.py", text)], "`parse_duration` fails on whole hours", 1900, COUNT)
    assert packed.partial == ("clock.py",)
    assert "text.split('h')" in packed.text
    assert "y - 3" not in packed.text
    assert COUNT(packed.text) <= 1900


def test_where_signatures_alone_fill_the_window_only_the_functions_are_shown() -> None:
    filler = "".join(
        f"    def filler_{i}(self, some_argument, another_argument):\n        return {i}\n\n" for i in range(300)
    )
    culprits = (
        "    def parse_duration(self, text):\n        return text.split('h')\n\n"
        "    def duration_of(self, x):\n        return x.duration\n"
    )
    text = f"class Clock(Base):\n{filler}{culprits}{filler}"
    packed = pack([file("clock.py", text)], "`parse_duration` gives a wrong duration_of", 300, COUNT)
    assert "class Clock(Base):" in packed.text
    assert "text.split('h')" in packed.text
    assert "return x.duration" in packed.text
    assert "filler" not in packed.text


def test_even_a_huge_file_of_one_function_leaves_something_in_the_window() -> None:
    text = "def parse(text):\n" + "".join(f"    x{i} = {i}\n" for i in range(5000))
    for content in (text, "z = 1\n" * 20_000):
        packed = pack([file("a.py", content)], "parse is wrong", 300, COUNT)
        assert packed.paths == ("a.py",)
        assert packed.text
        assert COUNT(packed.text) <= 300


def test_a_fence_inside_a_file_does_not_close_its_block() -> None:
    text = "x = '''\n```\n'''\n"
    assert block("a.py", text).splitlines()[1].startswith("````")


@given(
    st.lists(st.tuples(st.sampled_from(["a.py", "b.js", "c.py"]), st.text(max_size=400)), max_size=5),
    st.integers(0, 400),
    st.text(max_size=50),
)
def test_packing_never_exceeds_the_budget(files: list[tuple[str, str]], budget: int, issue: str) -> None:
    packed = pack([file(path, text) for path, text in files], issue, budget, COUNT)
    # each block was counted with its rounding, and the joints between blocks are a character each
    assert len(packed.text) / 4 <= budget + len(files)
    assert len(packed.paths) + len(packed.left_out) == len(files)
