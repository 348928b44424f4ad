"""When there are enough candidates: the chance, the steps, the rule on standings."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selection.base import ClassId
from selection.stopping import FEWEST, ahead, lead, steps_to
from selection.vote import Standing


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


@given(st.integers(1, 256), st.floats(0, 0.49))
def test_no_step_is_too_small_for_a_servers_batch(most: int, risk: float) -> None:
    steps = steps_to(most, risk)
    assert all(b - a >= FEWEST for a, b in pairwise((*steps, most)))
    assert all(step >= FEWEST for step in steps)


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
