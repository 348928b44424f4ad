"""What holds for every method, whatever the pool."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selection.draws import Drawer
from selection.methods import METHODS, Choice, Method, Signal
from selection.methods.base import signals_of
from selection.pool import PoolTask
from selection.study.scores import expected
from tests.selection.pools import pool_tasks, task, whole


def rounded(choice: Choice) -> dict[str | None, float]:
    return {c: round(chance, 9) for c, chance in choice.items() if chance > 1e-9}


def reordered(made: PoolTask, rng: random.Random) -> list[int]:
    """The candidates in another order, with the same first one of each class: its patch is what a method sees."""
    classes = [candidate.class_id for candidate in made.candidates]
    order = list(range(len(classes)))
    rng.shuffle(order)
    for class_id in set(classes):
        earliest = next(at for at, number in enumerate(order) if classes[number] == class_id)
        was = order.index(classes.index(class_id))
        order[earliest], order[was] = order[was], order[earliest]
    return order


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.name)
@settings(max_examples=25)
@given(pool_tasks(), st.randoms(use_true_random=False))
def test_a_choice_is_a_probability_that_the_order_does_not_change(
    method: Method, made: PoolTask, rng: random.Random
) -> None:
    drawer = Drawer(made)
    order = list(range(drawer.size))
    choice = method(drawer.draw(order, drawer.free))
    assert sum(choice.values()) == pytest.approx(1)
    assert all(chance >= 0 for chance in choice.values())
    assert set(choice) <= {*made.classes, None}
    right = drawer.right(order)
    assert expected(choice, right) <= max(right.values(), default=0.0) + 1e-9
    assert rounded(method(drawer.draw(reordered(made, rng), drawer.free))) == rounded(choice)


def test_names_are_unique_and_every_method_names_its_source() -> None:
    assert all(name == method.name and method.title and method.source for name, method in METHODS.items())


def test_without_a_class_nothing_is_chosen() -> None:
    assert METHODS["ours"](whole(task("--", ""))) == {None: 1.0}


def test_signals_are_what_is_recorded() -> None:
    everything = task("ab", "a", "PF", "PP", unedited="FP", patches=["x", "y"], passing=1)
    assert signals_of(Drawer(everything)) == {
        Signal.PATCHES,
        Signal.SCRIPTS,
        Signal.UNCHECKED,
        Signal.REGRESSIONS,
    }
    assert signals_of(Drawer(task("ab", "a"))) == frozenset()
    assert Signal.AUTHORS in signals_of(Drawer(task("ab", "a", "PF", authors=["t1"])))
