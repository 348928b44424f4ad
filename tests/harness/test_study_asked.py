"""Judgements and comparisons from files of their own, joined into a pool's tasks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.errors import DatasetError
from harness.study_asked import with_comparisons, with_judgements
from selection.base import ClassId
from selection.pool import PoolComparison, PoolJudgement, PoolPass, TaskComparisons, TaskJudgements
from tests.selection.pools import task

POOL = [task("abc", "a", id="1"), task("a", "a", id="2")]


def of(pair: str, probability: float = 0.7) -> PoolJudgement:
    return PoolJudgement(first=ClassId(pair[0]), second=ClassId(pair[1]), probability=probability)


def written(path: Path, **tasks: Sequence[PoolJudgement]) -> str:
    lines = [
        TaskJudgements(id=name[1:], judgements=tuple(made)).model_dump_json() + "\n" for name, made in tasks.items()
    ]
    path.write_text("".join(lines))
    return str(path)


def test_files_are_joined_to_what_the_pool_has(tmp_path: Path) -> None:
    own = [POOL[0].model_copy(update={"judgements": (of("ab"),)}), POOL[1]]
    first = written(tmp_path / "1.jsonl", _1=[of("ba")])
    second = written(tmp_path / "2.jsonl", _1=[of("ac"), of("bc")], _other=[of("xy")])
    joined, notes = with_judgements(own, [first, second])
    assert joined[0].judgements == (of("ab"), of("ba"), of("ac"), of("bc"))
    assert joined[1] == POOL[1]
    assert notes == []


def test_pairs_that_nobody_judged_are_told(tmp_path: Path) -> None:
    _, notes = with_judgements(POOL, [written(tmp_path / "j.jsonl", _1=[of("ab"), of("ba")])])
    assert notes == ["1 of 3 pairs of classes were judged; a method takes each of the others as even"]


def test_without_a_file_nothing_changes() -> None:
    assert with_judgements(POOL, []) == (tuple(POOL), [])


def test_what_cannot_be_joined_is_said(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"j.jsonl:1: task 1 has no class x; give a file of this very pool"):
        with_judgements(POOL, [written(tmp_path / "j.jsonl", _1=[of("xa")])])
    with pytest.raises(DatasetError, match="is about none of the pool's tasks, such as 1"):
        with_judgements(POOL, [written(tmp_path / "j.jsonl", _other=[of("ab")])])
    (tmp_path / "j.jsonl").write_text('{"id": "1", "judgements": [{"first": "a", "second": "b", "probability": 2}]}\n')
    with pytest.raises(DatasetError, match=r"j.jsonl:1: judgements.0.probability: .*less than or equal to 1"):
        with_judgements(POOL, [str(tmp_path / "j.jsonl")])


def test_comparisons_are_joined_line_by_line(tmp_path: Path) -> None:
    file = tmp_path / "c.jsonl"
    a, b, c = map(ClassId, "abc")
    two, three = (
        PoolComparison(classes=classes, single=True, passes=(PoolPass(named=a, choice=None),))
        for classes in ((a, b), (a, b, c))
    )
    lines = [TaskComparisons(id=name, comparisons=(one,)) for name, one in (("1", two), ("1", three), ("other", two))]
    file.write_text("".join(line.model_dump_json() + "\n" for line in lines))
    joined = with_comparisons(POOL, [str(file)])
    assert (joined[0].comparisons, joined[1].comparisons) == ((two, three), ())
    assert with_comparisons(POOL, []) == tuple(POOL)
    file.write_text(TaskComparisons(id="2", comparisons=(two,)).model_dump_json())
    with pytest.raises(DatasetError, match=r"c.jsonl:1: task 2 has no class b; give a file of this very pool"):
        with_comparisons(POOL, [str(file)])
