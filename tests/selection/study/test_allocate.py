import pytest

from selection.draws import Drawer
from selection.study.allocate import allocate
from tests.selection.pools import task

SOURCES = ["good"] * 4 + ["bad"] * 4


def test_the_budget_goes_to_the_source_that_solves() -> None:
    drawers = [Drawer(task("aaaabbbb", "a", "PP", source=SOURCES, id=f"task-{n}")) for n in range(3)]
    found = allocate(drawers, 4, 1, 10, 0)
    assert found.even_split == {"bad": 2, "good": 2}
    assert found.split["good"] > found.split["bad"]
    assert sum(found.split.values()) == 4
    assert (found.score, found.even_score) == (1.0, 0.5)
    assert found.single == {"bad": 0.0, "good": 1.0}
    assert found.gain_interval[0] > 0


def test_where_sources_are_alike_the_even_split_stays() -> None:
    drawers = [Drawer(task("aaaaaaaa", "a", "P", source=SOURCES))]
    found = allocate(drawers, 4, 1, 10, 0)
    assert found.split == found.even_split


def test_a_climb_starts_from_each_source_alone_too() -> None:
    """Two equal wrong candidates outvote right ones that are all unlike, so no one move from the even split helps."""
    crowded = [Drawer(task("abcdefwwwwww", "abcdef", source=["good"] * 6 + ["bad"] * 6)) for _ in range(3)]
    found = allocate(crowded, 6, 0, 10, 0)
    assert (found.even_score, found.split) == (0.0, {"bad": 0, "good": 6})
    assert found.score == pytest.approx(1.0)


def test_a_given_split_is_measured_and_not_bettered() -> None:
    drawers = [Drawer(task("aaaabbbb", "a", "PP", source=SOURCES, id=f"task-{n}")) for n in range(3)]
    found = allocate(drawers, 3, 1, 10, 0, given={"bad": 3})
    assert (found.given, found.split, found.score) == (True, {"bad": 3, "good": 0}, 0.0)
    assert not allocate(drawers, 3, 1, 10, 0).given


def test_what_a_candidate_of_a_source_costs_is_told() -> None:
    plain = task("aabb", "a", "PP", "PP", "PP", source=["x", "x", "y", "y"], authors=["t0", "t3", "issue"])
    assert allocate([Drawer(plain)], 2, 1, 2, 0).tokens == {"x": 105.0, "y": 105.0}
    unknown = plain.model_copy(
        update={"candidates": tuple(c.model_copy(update={"completion_tokens": None}) for c in plain.candidates[:2])}
    )
    assert allocate([Drawer(unknown)], 2, 1, 2, 0).tokens == {"x": None}
