import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selection.methods import METHODS
from selection.study import Size, StudyRecord, StudySettings, study
from tests.selection.pools import pool_tasks, task

SMALL = StudySettings((Size(2, 1), Size(4, 2)), draws=5)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_no_method_beats_the_oracle_and_the_order_of_tasks_plays_no_part(data: st.DataObject) -> None:
    tasks = [data.draw(pool_tasks(f"task-{n}")) for n in range(data.draw(st.integers(1, 3)))]
    record = study(tasks, SMALL)
    for size in record.sizes:
        assert 0 <= size.random <= size.oracle + 1e-9
        for method in size.methods:
            assert (method.score is None) == bool(method.missing)
            if method.score is not None:
                assert -1e-9 <= method.score <= size.oracle + 1e-9
                assert sum(hit.share for hit in method.hits) == pytest.approx(1)
    assert study(tasks[::-1], SMALL) == record
    assert StudyRecord.model_validate_json(record.model_dump_json()) == record


def test_several_processes_find_the_same() -> None:
    tasks = [task("aabbc", "a", "PFF", "PPF", id=f"task-{n}") for n in range(3)]
    wanted = StudySettings((Size(3, 1),), draws=5, allocate=True)
    assert study(tasks, wanted) == study(tasks, StudySettings(wanted.sizes, draws=5, allocate=True, workers=2))


def test_only_the_methods_that_were_asked_for_and_what_they_are_compared_with() -> None:
    record = study([task("ab", "a", "PF")], StudySettings((Size(2, 1),), methods=("codet",)))
    assert [method.name for method in record.sizes[0].methods] == ["random", "codet", "ours"]
    assert len(study([task("ab", "a")], SMALL).sizes[0].methods) == len(METHODS)


def test_tasks_with_fewer_candidates_are_counted() -> None:
    record = study([task("ab", "a", id="1"), task("abcd", "a", id="2")], SMALL)
    assert [size.smaller for size in record.sizes] == [0, 1]
    assert record.pool.candidates == 6


def test_signals_that_are_left_out_are_named() -> None:
    (size,) = study([task("ab", "a", "PF")], StudySettings((Size(2, 1),))).sizes
    left_out = {method.name: method.left_out for method in size.methods}
    assert left_out["agentless"] == ("the repository's tests",)
    assert left_out["codet"] == ()
