from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selection.base import ClassId
from selection.confidence import Signals, confidence, met
from selection.study.calibration import Certain, calibration, certain
from selection.vote import margin
from tests.selection.pools import task, whole

CERTAIN = st.builds(Certain, st.floats(0, 1), st.floats(0, 1), made=st.just(True))


def test_the_confidence_is_the_one_that_a_run_would_say() -> None:
    draw = whole(task("aab-", "a", "PF", "PP"))
    seen = certain(draw, {ClassId("a"): 1.0, ClassId("b"): 0.0})
    best = draw.ranking[0]
    assert (best.id, seen.right) == ("a", 1.0)
    share, margin_ = 2 / 4, margin(draw.ranking)
    assert seen.confidence == confidence(
        Signals(best.votes, best.voters, margin_, share, own_script=True, example=None, broken=False, agreed=None)
    )


def test_examples_of_the_issue_count_where_one_fails_before_or_is_not_met() -> None:
    best = whole(task("aab-", "a", "PF", "PP")).ranking[0]
    assert met(best, fails_before=True) is True
    assert met(best, fails_before=False) is None
    assert met(replace(best, unmet=1), fails_before=True) is False
    assert met(replace(best, unmet=1), fails_before=False) is False


def test_leaders_that_tie_are_averaged() -> None:
    draw = whole(task("ab", "a", "PP"))
    assert certain(draw, {ClassId("a"): 1.0, ClassId("b"): 0.0}).right == 0.5


def test_a_known_case() -> None:
    found = calibration([[Certain(0.9, 1.0, made=True)], [Certain(0.35, 0.0, made=True)]], 0)
    assert found.brier == pytest.approx((0.1**2 + 0.35**2) / 2)
    assert found.baseline == pytest.approx(0.25)
    assert [(row.low, row.right) for row in found.bins] == [(0.3, 0.0), (0.9, 1.0)]
    half = found.abstention[-1]
    assert (half.left_out, half.least_certain, half.oracle) == (0.5, 1.0, 1.0)


def test_without_a_choice_there_is_nothing_to_calibrate() -> None:
    assert calibration([[Certain(0.0, 0.0, made=False)]], 0).brier is None


@given(st.lists(st.lists(CERTAIN, min_size=1, max_size=3), min_size=1, max_size=6))
def test_no_abstention_is_better_than_the_oracles(tasks: list[list[Certain]]) -> None:
    found = calibration(tasks, 0)
    assert all(row.least_certain <= row.oracle + 1e-9 for row in found.abstention)
    oracle = [row.oracle for row in found.abstention]
    assert oracle == pytest.approx(sorted(oracle))
    assert sum(row.choices for row in found.bins) == sum(map(len, tasks))
