"""When there are enough candidates: the chance, the steps, the rule on standings."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selection.base import ClassId
from selection.stopping import FEWEST, ahead, costs_more, gain, is_safe, lead, steps_to
from selection.vote import Standing

CHANCES = st.floats(0, 1)
MONEY = st.floats(0, 1e6)
WORTHS = st.none() | st.floats(0, 1e6, exclude_min=True)


@given(st.integers(0, 12), st.integers(0, 12))
def test_the_chance_to_be_ahead_is_the_beta_distributions(leader: int, rival: int) -> None:
    steps = 2_000
    density = [(x / steps) ** leader * (1 - x / steps) ** rival for x in range(steps + 1)]
    above = sum(density[steps // 2 :]) - 0.5 * density[steps // 2]
    assert ahead(leader, rival) == pytest.approx(above / sum(density), abs=2e-3)
    assert ahead(leader, rival) + ahead(rival, leader) == pytest.approx(1)


def test_steps_are_those_after_which_a_leader_can_be_safe() -> None:
    assert steps_to(32, 0.05) == (4, 8, 12, 16, 24)
    assert steps_to(64, 0.01) == (8, 12, 16, 24, 32, 48)  # of four, not even all alike are safe
    assert steps_to(8, 0.01) == steps_to(32, 0.0) == steps_to(1, 0.4) == ()


@given(st.integers(1, 256), st.floats(0, 0.49), WORTHS)
def test_no_step_is_too_small_for_a_servers_batch(most: int, risk: float, worth: float | None) -> None:
    steps = steps_to(most, risk, worth)
    assert all(b - a >= FEWEST for a, b in pairwise((*steps, most)))
    assert all(step >= FEWEST for step in steps)


def test_with_a_worth_every_step_is_asked_after() -> None:
    assert steps_to(64, 0.01, 5.0) == steps_to(64, 0.0, 5.0) == (4, 8, 12, 16, 24, 32, 48)
    assert steps_to(8, 0.01, 5.0) == (4,)


def test_more_would_cost_more_than_it_is_worth() -> None:
    assert gain(0.75, 2.0) == 0.5
    assert costs_more(0.75, 2.0, 0.51)
    assert not costs_more(0.75, 2.0, 0.5)
    assert costs_more(1.0, 1e6, 1e-9), "where nothing can be gained, anything is too much"
    assert not costs_more(0.0, 2.0, 1.9), "without a script in the matrix there is all to be gained"


@given(CHANCES, MONEY)
def test_without_a_worth_no_cost_is_too_much(chance: float, cost: float) -> None:
    assert not costs_more(chance, None, cost)


@given(CHANCES, WORTHS)
def test_without_prices_no_cost_is_too_much(chance: float, worth: float | None) -> None:
    assert not costs_more(chance, worth, 0.0)


@given(CHANCES, CHANCES, MONEY, MONEY, st.floats(0.01, 1e6), st.floats(0.01, 1e6))
def test_the_rule_is_monotone(c1: float, c2: float, m1: float, m2: float, w1: float, w2: float) -> None:
    """What ends sampling also ends it where the patch is worth less, the leader safer, or the step dearer."""
    if costs_more(min(c1, c2), max(w1, w2), min(m1, m2)):
        assert costs_more(max(c1, c2), min(w1, w2), max(m1, m2))


@given(st.integers(1, 256), st.floats(0.0001, 0.49))
def test_where_all_behave_alike_the_first_step_is_enough(most: int, risk: float) -> None:
    """Every script passes every candidate: no step is asked after at which these would not be safe."""
    for step in steps_to(most, risk):
        assert is_safe(lead([standing("c1", 1.0, step)], 1), risk)
        two_patches = [standing("c1", 1.0, step), standing("c2", 1.0, step, twin="c1")]
        assert is_safe(lead(two_patches, 1), risk)


def test_without_a_risk_nothing_is_safe() -> None:
    assert not is_safe(ahead(200, 0), 0.0)
    assert is_safe(0.99, 0.01)
    assert not is_safe(0.98, 0.01)


def standing(name: str, votes: float, alike: int, twin: str = "", unmet: int = 0) -> Standing:
    return Standing(ClassId(name), votes, 3, alike, ClassId(twin or name), alike, unmet)


def test_candidates_alike_count_as_often_as_the_votes_say() -> None:
    ranked = [standing("c1", 1.0, 6), standing("c2", 0.5, 4), standing("c3", 0.2, 5)]
    assert lead(ranked, 3) == ahead(6, 2)
    assert lead(ranked[:1], 3) == ahead(6, 0)
    assert lead([standing("c1", 0.0, 8)], 3) == 0.5  # every script rejects it


def test_twins_and_what_fails_more_examples_are_no_rivals() -> None:
    ranked = [standing("c1", 1.0, 6), standing("c2", 1.0, 6, twin="c1"), standing("c3", 1.0, 9, unmet=1)]
    assert lead(ranked, 3) == ahead(6, 0)
    both_fail = [standing("c1", 1.0, 6, unmet=1), standing("c2", 1.0, 5, unmet=1)]
    assert lead(both_fail, 3) == ahead(6, 5)


def test_where_no_script_speaks_nothing_is_safe() -> None:
    assert lead([standing("c1", 0.5, 200)], 0) == 0.0
    assert lead([], 3) == 0.0
