"""Examples read from an issue's text: every notation, what is none, and any text at all."""

from __future__ import annotations

import ast
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.examples import MOST, Example, examples_of, literal

NONE: dict[str, list[str]] = {}


def read(issue: str, functions: dict[str, list[str]] | None = None) -> list[tuple[str, str]]:
    found = examples_of(textwrap.dedent(issue), functions or NONE)
    return [(example.call, example.expected) for example in found]


def only(issue: str) -> Example:
    (example,) = examples_of(textwrap.dedent(issue), NONE)
    return example


def test_a_session_in_prose_is_read_call_by_call() -> None:
    issue = """\
        Return whether the balance falls below zero.
        >>> below_zero([1, 2, 3])
        False
        >>> below_zero([1, 2, -4, 5])
        True
        Prose goes on without a blank line.
        """
    assert read(issue) == [("below_zero([1, 2, 3])", "False"), ("below_zero([1, 2, -4, 5])", "True")]


def test_names_are_carried_on_and_only_what_is_needed() -> None:
    issue = """\
        ```python
        >>> from shop import Cart
        >>> import json
        >>> cart = Cart()
        >>> other = Cart()
        >>> cart.add(3)

        >>> cart.total()
        3
        >>> json.dumps(1)
        '1'
        ```
        """
    first, second = examples_of(textwrap.dedent(issue), NONE)
    assert first.setup == ("from shop import Cart", "cart = Cart()", "cart.add(3)")
    assert (first.call, first.expected) == ("cart.total()", "3")
    assert second.setup == ("import json",)


def test_what_stands_just_before_is_done_too_for_it_may_share_something() -> None:
    example = only(">>> blue = Room()\n>>> red = Room()\n>>> # now\n>>> blue.book(1)\n>>> red.bookings\n[]\n")
    assert example.setup == ("blue = Room()", "red = Room()", "blue.book(1)")


def test_an_example_that_may_change_something_is_repeated_for_the_next() -> None:
    issue = ">>> s = Stack([1, 2])\n>>> s.pop()\n2\n>>> f(1)\n1\n>>> s.pop()\n1\n"
    assert [example.setup for example in examples_of(issue, NONE)] == [
        ("s = Stack([1, 2])",),
        ("s = Stack([1, 2])",),
        ("s = Stack([1, 2])", "s.pop()"),
    ]


def test_a_fence_ends_what_is_expected_and_a_block() -> None:
    issue = "```\n>>> f(1)\n1\n```\n>>> f(2)\n2\n"
    found = examples_of(issue, NONE)
    assert [(e.call, e.expected, e.block) for e in found] == [("f(1)", "1", 1), ("f(2)", "2", 2)]


def test_values_over_several_lines_and_shown_text() -> None:
    assert read(">>> f(1)\n[1,\n 2]\n") == [("f(1)", "[1, 2]")]
    assert read(">>> f(1)\n<Point at\n  2>\n") == [("f(1)", "<Point at\n  2>")]
    assert read(">>> print(f(1))\n1\n2\n") == [("print(f(1))", "1\n2")]


def test_several_lines_of_one_step() -> None:
    assert read(">>> f(1,\n...   2)\n3\n") == [("f(1, 2)", "3")]


@pytest.mark.parametrize(
    "trace",
    [
        "Traceback (most recent call last):\n  File 'x', line 1\nshop.errors.Empty: no value\n",
        "Traceback (most recent call last):\n  ...\nEmpty\n",
        "-----------\nEmpty                  Traceback (most recent call last)\n",
    ],
)
def test_a_traceback_is_an_expected_exception(trace: str) -> None:
    example = only(f">>> f(1)\n{trace}")
    assert example.raises
    assert example.expected == "Empty"


def test_a_comparison_that_shows_nothing_says_what_it_compares_with() -> None:
    assert read(">>> f(1) == -9\n>>> f(2) == None\n") == [("f(1)", "-9"), ("f(2)", "None")]
    assert read(">>> f(1) == -9\nTrue\n") == [("f(1) == -9", "True")]


def test_what_was_expected_instead_stands_behind_a_session() -> None:
    issue = (
        "It fails:\n\n    >>> merge([(1, 5), (2, 3)])\n    [(1, 3)]\n\nI expected `[(1, 5)]`. With others it works.\n"
    )
    shown, wanted = examples_of(issue, NONE)
    assert (shown.call, shown.expected) == ("merge([(1, 5), (2, 3)])", "[(1, 3)]")
    assert (wanted.question, wanted.expected) == (shown.question, "[(1, 5)]")
    assert read("    >>> f(1)\n    2\n\nI expected an empty list.\n") == [("f(1)", "2")]
    assert read("    >>> f(1)\n    2\n\nIt expects 3 arguments.\n") == [("f(1)", "2")]


@pytest.mark.parametrize(
    "line",
    [
        "f([1], 'a') == 2",
        "f([1], 'a') => 2",
        "f([1], 'a') ==> 2",
        "f([1], 'a') -> 2",
        "f([1], 'a') ➞ 2",
        "f([1], 'a') = 2",
        "f([1], 'a') # => 2",
        "f([1], 'a') # => 2 (the second one)",
        "f([1], 'a') returns 2",
        "f([1], 'a') should return 2.",
        "* f([1], 'a') => 2",
        "- f([1], 'a') => 2",
        "3. f([1], 'a') => 2",
        "assert f([1], 'a') == 2",
        "assert f([1], 'a') => 2",
        "f([1], 'a') == 1 + 1 = 2",
        "In the same way `f([1], 'a')` should be 2, and so on",
        "So `f([1], 'a')` should return `2`.",
    ],
)
def test_every_notation_of_a_line(line: str) -> None:
    assert read(line) == [("f([1], 'a')", "2")]


@pytest.mark.parametrize(
    "line",
    [
        "f(2) returns 3 times what it should",
        "f(n) = 1 + n / 2, if n is even",
        "tri(3) = tri(2) + tri(1) + tri(4)",
        "def f(x) -> None:",
        "def f() -> None",
        "not f(1) == 2",
        "if f(1) == 2:",
        "2 * f(1) == 2",
        "print(f(1) == 2)",
        "x = f(2)",
        "f(x=3)",
        "f(2) >= 3",
        "f(2) != 3",
        "`f(2)` is 10 and should be 20",
        "f(1) == [1, ...]",
        "30 = 2 * 3 * 5",
    ],
)
def test_what_is_no_example(line: str) -> None:
    assert read(line) == []


def test_a_sign_within_a_string_is_none() -> None:
    assert read("f('a => 1') => 2") == [("f('a => 1')", "2")]


def test_input_and_output_mean_the_function_that_they_fit() -> None:
    one_line = "Input: arr = [1, 22], k = 2\nOutput: 23 # sum of both\n"
    assert read(one_line, {"add": ["arr", "k"]}) == [("add(arr=[1, 22], k=2)", "23")]
    lines = "Input:\ngrid : [[0, 1]]\nbucket : 1\nOutput: 1\n\nInput:\ngrid : [[0]]\nbucket : 2\nOutput: 0\n"
    assert read(lines, {"fill": ["grid", "capacity"]}) == [("fill([[0, 1]], 1)", "1"), ("fill([[0]], 2)", "0")]
    assert read("Input: 3\nOutput: (1, 2)\n", {"count": ["n"]}) == [("count(3)", "(1, 2)")]
    spoken = 'For s = "ab", c = "a", the result should be (\'b\', False)'
    assert read(spoken, {"delete": ["s", "c"]}) == [("delete(s='ab', c='a')", "('b', False)")]


def test_input_and_output_without_one_function_are_none() -> None:
    assert read("Input: 3\nOutput: 4\n") == []
    assert read("Input: 3\nOutput: 4\n", {"f": ["n"], "g": ["n"]}) == []
    assert read("Input: n = 3\nOutput: 4\n", {"f": ["a", "b"]}) == []
    assert read("Input: n = m\nOutput: 4\n", {"f": ["n"]}) == []
    assert read("Input: 3\n" + "and so on\n" * 20 + "Output: 4\n", {"f": ["n"]}) == []


def test_equal_examples_are_one_and_there_are_not_too_many() -> None:
    assert read("f(1) == 2\nf(1) == 2\n") == [("f(1)", "2")]
    assert len(read("\n".join(f"f({number}) == 2" for number in range(50)))) == MOST


def test_literals_in_their_usual_spelling() -> None:
    assert [literal(text) for text in ("6.00", "{1: (2,)}", "-1", "None", "set()")] == [
        "6.0",
        "{1: (2,)}",
        "-1",
        "None",
        "set()",
    ]
    assert [literal(text) for text in ("x", "f(1)", "...", "[1, ...]", "1 + 1", "", "a b", "'")] == [None] * 8


@pytest.mark.parametrize("call", ["f(" * 150 + ")" * 150, "f(" + "-" * 500 + "1)", "f(" + "[" * 150 + "]" * 150 + ")"])
def test_what_is_nested_too_deep_is_left_aside(call: str) -> None:
    assert read(f"{call} == 1\n>>> {call}\n1\n>>> f(1)\n{call[2:-1]}\nf(2) == 3\n")[-1] == ("f(2)", "3")


PIECES = st.sampled_from(
    (
        *(
            ">>> ",
            "... ",
            "f(",
            ")",
            "1",
            "'",
            "[",
            "\n",
            "\n\n",
            "    ",
            " == ",
            " => ",
            "```",
            "x = ",
            "\\d",
            "1 is 2",
        ),
        *("Input:", "Output:", "Traceback (most recent call last):\n", "expected ", "\0"),
        "For s = 1, the result should be ",
    )
)


@given(st.one_of(st.text(), st.lists(PIECES | st.text(max_size=3)).map("".join)))
def test_any_text_is_read_without_an_error(text: str) -> None:
    for example in examples_of(text, {"f": ["x"], "g": []}):
        ast.parse(example.call, mode="eval")
        for step in example.setup:
            ast.parse(step)
        assert example.expected


@given(st.recursive(st.integers() | st.text(max_size=8) | st.booleans() | st.none(), lambda v: st.lists(v, max_size=3)))
def test_what_python_shows_is_read_back(value: object) -> None:
    (example,) = examples_of(f"```\n>>> f({value!r})\n{value!r}\n```\n", NONE) or (None,)
    if example is None:
        # A value that is written over several lines of odd separators, or is as a prompt or fence, is no literal line.
        assert len(repr(value).splitlines()) != 1 or "```" in repr(value) or ">>>" in repr(value)
        return
    assert ast.literal_eval(example.expected) == value
