from hypothesis import given, settings
from hypothesis import strategies as st

from selection.draws import Drawer
from selection.pool import PoolTask
from selection.study.adaptive import adaptive, steps_to
from selection.study.record import AdaptiveRecord
from tests.selection.pools import pool_tasks, task


def by_rule(*tasks: PoolTask, candidates: int = 8) -> dict[tuple[str, float], AdaptiveRecord]:
    records = adaptive([Drawer(one) for one in tasks], candidates, 2, 10, 0)
    return {(record.rule, record.level): record for record in records}


def test_steps_grow_up_to_the_last() -> None:
    assert steps_to(1) == [1]
    assert steps_to(10) == [1, 2, 3, 4, 6, 8, 10]


def test_where_all_agree_sampling_stops_early() -> None:
    rules = by_rule(task("aaaaaaaa", "a", "P", "P"))
    assert rules["agreement", 0.0].candidates == 3
    assert rules["beta", 0.1].candidates == 3  # 1 - 1/2^4 with three of one kind
    assert rules["beta", 0.01].candidates == 6
    assert rules["beta-votes", 0.1].candidates == 4  # the first step of a run
    rejected = by_rule(task("aaaaaaaa", "a", "F", "F"))
    assert (rejected["beta", 0.1].candidates, rejected["beta-votes", 0.1].candidates) == (3, 8)
    assert rules["fixed", 8.0].candidates == 8
    assert {record.score for record in rules.values()} == {1.0}
    assert rules["fixed", 4.0].completion_tokens == 4 * 100 + 1 * 10


def test_without_a_script_a_run_would_not_stop() -> None:
    rules = by_rule(task("aaaaaaaa", "a"))
    assert (rules["beta", 0.1].candidates, rules["beta-votes", 0.1].candidates) == (3, 8)


def test_where_scripts_tell_all_apart_sampling_goes_on() -> None:
    rules = by_rule(task("abcdefgh", "a", "PFFFFFFF", "FPFPFPFP"))
    assert rules["agreement", 0.0].candidates > 4


@settings(max_examples=20)
@given(st.lists(pool_tasks(), min_size=1, max_size=2))
def test_no_rule_uses_more_than_there_is(tasks: list[PoolTask]) -> None:
    most = max(len(one.candidates) for one in tasks)
    for record in by_rule(*tasks, candidates=4).values():
        assert 1 <= record.candidates <= min(4, most)
        assert 0 <= record.score <= 1
