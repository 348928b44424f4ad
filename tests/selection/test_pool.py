import pytest
from hypothesis import given
from pydantic import ValidationError

from selection.pool import PoolTask
from tests.selection.pools import pool_tasks, task


@given(pool_tasks())
def test_a_task_survives_its_file(made: PoolTask) -> None:
    assert PoolTask.model_validate_json(made.model_dump_json()) == made
    assert PoolTask.model_validate_json(made.model_dump_json(exclude_defaults=True)) == made


def test_classes_come_in_the_order_of_their_first_members() -> None:
    assert task("b-ab").classes == ("b", "a")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"candidates": [{"id": "k", "class_id": "a", "resolved": True}] * 2}, "two candidates have the id k"),
        ({"scripts": [{"id": "s0", "unedited": "passed"}] * 2}, "two scripts have the id s0"),
        ({"scripts": []}, "cells has a row of s0, which is none of the scripts"),
        ({"cells": {"s0": {"a": "passed"}}}, "the row of script s0 has no verdict on class b"),
        ({"cells": {}}, "script s0 failed on the unedited tree, but cells has no row of it"),
        ({"votes": {}}, "Extra inputs are not permitted"),
    ],
)
def test_a_task_that_is_not_whole_is_refused(change: dict[str, object], said: str) -> None:
    plain = task("ab", "a", "PF").model_dump(mode="json")
    with pytest.raises(ValidationError, match=said):
        PoolTask.model_validate({**plain, **change})
