from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selection.mutations import Arguments, read_values
from selection.written import MOST, calls_in


def owns(text: str) -> list[str]:
    return [one.own for one in calls_in(text, "f")]


@pytest.mark.parametrize(
    "text",
    [
        ">>> f([1, 2], key='a)')\n3",
        "`f([1, 2], key='a)')` gives 3, not 4 (see f).",
        "    f([1, 2],\n      key='a)') ➞ 3",
        "assert g(mod.f([1, 2], key='a)')) == 3",
    ],
)
def test_a_call_is_read_whatever_stands_around_it(text: str) -> None:
    assert owns(text) == ["(([1, 2],), {'key': 'a)'})"]


def test_each_call_once_in_order_and_of_that_name_only() -> None:
    assert owns("f(2) f(1) f(2) off(3) f2(4) f (5)") == ["((2,), {})", "((1,), {})"]


@pytest.mark.parametrize(
    "text", ["f(x)", "f(1", "f(*[1])", "f(**{'a': 1})", "f(g(1))", "def f(a, b=1):", "f" + "(" * 900]
)
def test_what_is_no_call_with_literals_is_left_out(text: str) -> None:
    assert calls_in(text, "f") == ()


def test_the_number_of_calls_has_a_limit() -> None:
    assert len(calls_in(" ".join(f"f({n})" for n in range(100)), "f")) == MOST


@given(st.lists(st.integers() | st.text() | st.lists(st.booleans()), max_size=3))
def test_what_is_written_is_read_back(values: list[object]) -> None:
    found = calls_in(f"so f({', '.join(map(repr, values))}) it is", "f")
    assert found == (Arguments(None, repr((tuple(values), {}))),)


@given(st.text())
def test_no_text_raises(text: str) -> None:
    for one in calls_in(text + "f(" + text, "f"):
        assert read_values(one.own) is not None


def test_an_escape_that_is_none_is_no_warning() -> None:
    assert owns(r"f('\d')") == [r"(('\\d',), {})"]
