import pytest

from selection.study.coverage import coverage
from tests.selection.pools import task


def test_all_sources_and_each_up_to_what_every_task_has() -> None:
    first = task("aabbb", "a", source=["one", "one", "two", "two", "two"])
    second = task("aab", "b", source=["one", "one", "one"])
    everything, one, two = coverage([first, second])
    assert [p.k for p in everything.points] == [1, 2, 3]
    assert everything.points[0].coverage == pytest.approx((2 / 5 + 1 / 3) / 2)
    assert (everything.tasks, one.tasks, two.tasks) == (2, 2, 1)
    assert (one.source, [p.k for p in one.points]) == ("one", [1, 2])
    # Only the first task has candidates of it, none of them right.
    assert [p.coverage for p in two.points] == [0.0, 0.0, 0.0]
    assert (two.a, two.points[0].fitted) == (None, None)


def test_one_source_has_one_curve() -> None:
    assert len(coverage([task("aab", "a")])) == 1
