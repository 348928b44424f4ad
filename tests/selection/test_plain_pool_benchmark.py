"""`benchmarks/plain_pool.py`, and the study's figures on a pool small enough to know them."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks.plain_pool import main
from selection.pool import PoolTask
from selection.study import Size, StudySettings, study

SAMPLES = {
    "instance_id": "one",
    "split": "tuning",
    "class_of_sample": [0, 0, 1, -1],
    "class_correct": [False, True, True],
    "script_exit_on_unedited": [2, 2, 0],
    "script_exit_on_class": [[2, 0, 4], [1, 0, 4], None],
}


def converted(folder: Path, monkeypatch: pytest.MonkeyPatch, *flags: str) -> PoolTask:
    (folder / "samples.jsonl").write_text(json.dumps(SAMPLES) + "\n")
    monkeypatch.setattr(sys, "argv", ["plain_pool", str(folder / "samples.jsonl"), str(folder / "pool.jsonl"), *flags])
    main()
    return PoolTask.model_validate_json((folder / "pool.jsonl").read_text())


def test_samples_become_a_pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = converted(tmp_path, monkeypatch)
    assert (pool.id, pool.group, pool.classes) == ("one", "tuning", ("c0", "c1"))
    assert [c.resolved for c in pool.candidates] == [False, False, True, False]
    (size,) = study([pool], StudySettings((Size(4, 3),))).sizes
    scores = {method.name: method.score for method in size.methods if method.score is not None}
    assert (size.random, size.oracle) == (0.25, 1.0)
    assert (scores["checked-vote"], scores["checked-vote-then-size"], scores["ours"]) == (1.0, 1.0, 1.0)
    assert scores["majority"] == 0.0
    assert scores["first"] == pytest.approx(1 / 3)


def test_paired_makes_one_author_of_a_candidate_and_a_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = converted(tmp_path, monkeypatch, "--paired")
    assert len(pool.candidates) == len(pool.scripts) == 3
    assert [(c.trajectory, c.script) for c in pool.candidates] == [(s.trajectory, s.id) for s in pool.scripts]
