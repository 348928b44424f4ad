import math
from itertools import combinations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selection.study.statistics import coverage_at, gap, interval, power_law, resamples, sign_flip, sums


@given(st.integers(1, 8), st.data())
def test_coverage_is_the_mean_over_all_subsets(candidates: int, data: st.DataObject) -> None:
    right, k = data.draw(st.integers(0, candidates)), data.draw(st.integers(1, candidates))
    labels = [True] * right + [False] * (candidates - right)
    subsets = list(combinations(labels, k))
    assert coverage_at(k, candidates, right) == pytest.approx(sum(map(any, subsets)) / len(subsets))


def test_the_power_law_is_found_again() -> None:
    found = power_law([(k, math.exp(-1.5 * k**-0.4)) for k in (1, 2, 4, 8, 16)])
    assert found == pytest.approx((-1.5, -0.4))
    assert power_law([(1, 0.5), (2, 1.0)]) is None


def test_an_interval_holds_the_middle() -> None:
    assert interval(range(1, 1001)) == (26, 975)
    assert interval([3.0]) == (3.0, 3.0)


def test_resamples_are_the_same_for_every_method() -> None:
    samples = resamples(5, seed=1, count=50)
    assert samples == resamples(5, seed=1, count=50)
    assert samples != resamples(5, seed=2, count=50)
    assert sums([1.0] * 5, samples) == [5.0] * 50


def test_no_gap_is_not_recovered() -> None:
    assert gap(0.5, 0.5, 0.5) == 0.0
    assert gap(0.75, 0.5, 1.0) == 0.5


def test_the_sign_flips_come_near_to_the_exact_p_value() -> None:
    differences = [0.4, 0.1, 0.3, -0.05, 0.2, 0.2, 0.0]
    moving = [d for d in differences if d]
    totals = [abs(sum(s * d for s, d in zip(signs, moving, strict=True))) for signs in product((1, -1), repeat=6)]
    exact = sum(total >= sum(differences) - 1e-9 for total in totals) / len(totals)
    assert sign_flip(differences, seed=0) == pytest.approx(exact, abs=0.02)
    assert sign_flip([0.0, 0.0], seed=0) == 1.0
    assert sign_flip([0.1, -0.1], seed=0) == 1.0
