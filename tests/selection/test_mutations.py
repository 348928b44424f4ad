from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selection.mutations import LONGEST, Arguments, changes_of, read_values, shown, varied

numbers = st.integers(-(10**6), 10**6) | st.floats(allow_nan=False, allow_infinity=False) | st.booleans()
leaves = st.none() | numbers | st.text(max_size=20)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
        | st.sets(st.integers(), min_size=1, max_size=4)
    ),
    max_leaves=8,
)
positional = st.lists(values, max_size=3).map(tuple)


def text(*args: Any, **named: Any) -> str:
    return repr((args, named))


def own(*args: Any, **named: Any) -> Arguments:
    return Arguments(None, text(*args, **named))


@given(values)
def test_a_change_keeps_the_type_and_is_another_value(value: Any) -> None:
    for other in changes_of(value):
        assert type(other) is type(value)
        assert repr(other) != repr(value)


@given(st.lists(st.integers(), max_size=6))
def test_elements_keep_their_type(value: list[int]) -> None:
    assert all(type(part) is int for other in changes_of(value) for part in other)


@given(st.lists(positional, min_size=1, max_size=4), st.integers(0, 3), st.integers(1, 40))
def test_inputs_are_the_same_each_time_each_once_and_can_be_read(given_: list[Any], seed: int, most: int) -> None:
    recorded = [own(*args) for args in given_]
    inputs = varied(recorded, seed, most)
    assert inputs == varied(recorded, seed, most)
    assert len(inputs) == len(set(inputs)) <= most
    assert all(read_values(one.own) is not None and len(one.own) <= LONGEST for one in inputs)
    readable = list(dict.fromkeys(one for one in recorded if read_values(one.own) is not None))
    assert list(inputs[: len(readable)]) == readable[:most]


@given(st.lists(st.tuples(st.integers(), st.text(max_size=9), st.lists(st.integers(), max_size=4)), min_size=1))
def test_parameters_keep_their_types(given_: list[tuple[int, str, list[int]]]) -> None:
    for one in varied([own(*args) for args in given_], 0, 30):
        found = read_values(one.own)
        assert found is not None
        assert [type(value) for value in found[0]] == [int, str, list]


def test_every_recorded_call_is_varied() -> None:
    recorded = [own([number, number + 1, number + 2]) for number in range(0, 80, 20)]
    tens = {max(read_values(one.own)[0][0], default=0) // 20 for one in varied(recorded, 0, 24)}  # type: ignore[index]
    assert tens >= {0, 1, 2, 3}


def test_values_of_one_parameter_are_swapped_between_calls() -> None:
    inputs = varied([own(3, "left"), own(77, "right")], 0, 64)
    assert {own(3, "right"), own(77, "right"), own(77, "left")} <= set(inputs)


def test_another_seed_chooses_other_changes() -> None:
    recorded = [own(list(range(12)))]
    assert varied(recorded, 0, 8) != varied(recorded, 1, 8)


def test_an_objects_own_arguments_are_varied_too() -> None:
    inputs = varied([Arguments(text(5), text(3))], 0, 64)
    assert {one.own for one in inputs} > {text(3)}
    assert {one.owner for one in inputs} > {text(5)}


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "1",
        "((1,), {1: 2})",
        "((1,), {}, 3)",
        "((f(),), {})",
        "([], {})",
        "(" * 500,
        "((1,),",
        "-" * 1_900 + "1",
        "\0",
    ],
)
def test_what_is_no_tuple_and_dict_of_literals_is_left_out(bad: str) -> None:
    assert read_values(bad) is None
    assert varied([Arguments(None, bad), Arguments(bad, text(1))], 0, 9) == ()


def test_long_texts_are_not_read() -> None:
    assert read_values(text("x" * LONGEST)) is None


def test_a_call_is_shown_as_one_would_write_it() -> None:
    assert shown("mean", own([1, 2], key="k")) == "mean([1, 2], key='k')"
    assert shown("A.draw", Arguments(text(5), text(3))) == "A(5).draw(3)"
    assert shown("A.made", own(3)) == "A.made(3)"
