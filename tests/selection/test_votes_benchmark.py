"""`benchmarks/votes.py` on a pool small enough to know its figures."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks.votes import main

POOL = {
    "split": "tuning",
    "class_of_sample": [0, 0, 1, -1],
    "class_correct": [False, True],
    "script_exit_on_unedited": [2, 2, 0],
    "script_exit_on_class": [[2, 0], [1, 0], None],
}


def test_a_pool_is_replayed_beside_random_and_oracle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pool = tmp_path / "pool.jsonl"
    pool.write_text(json.dumps(POOL) + "\n" + json.dumps({**POOL, "split": "reporting"}) + "\n")
    arguments = ["selection", str(pool), "--candidates", "4", "--scripts", "3", "--draws", "5", "--json"]
    monkeypatch.setattr(sys, "argv", arguments)
    main()
    report = json.loads(capsys.readouterr().out)
    assert report["tasks"] == 1
    scores = {name: row["score"] for name, row in report["methods"].items()}
    assert scores == {
        "random": 0.25,
        "equal votes": 1.0,
        "votes, then class size": 1.0,
        "bestpatch": 1.0,
        "oracle": 1.0,
    }
    assert report["methods"]["bestpatch"]["gap_recovered"] == 1.0
    assert sum(row[1] for row in report["calibration"]) == 5


def test_an_unknown_split_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = tmp_path / "pool.jsonl"
    pool.write_text(json.dumps(POOL) + "\n")
    monkeypatch.setattr(sys, "argv", ["selection", str(pool), "--split", "elsewhere"])
    with pytest.raises(SystemExit, match="2"):
        main()
