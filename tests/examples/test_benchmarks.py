"""The figures of the product's benchmarks: what is counted as random, selected, oracle and gap recovered."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

sys.path.append(str(BENCHMARKS))  # solving.py takes it away again
from solving import Row, read_rows, seeds, table  # noqa: E402

ROW = Row(
    name="busy-hours",
    seed=0,
    run="a",
    commit="c",
    model="embedded",
    candidates=4,
    jobs=1,
    status="selected",
    correct=(True, False, False, False),
    classes=3,
    selected=True,
    confidence=0.9,
    wall=100.0,
    sandbox_seconds=10.0,
    prompt_tokens=1000,
    cached_tokens=900,
    completion_tokens=200,
    stage_seconds={"editing": 50.0},
)


@pytest.mark.parametrize(("text", "found"), [("3", [3]), ("0-2,5", [0, 1, 2, 5])])
def test_seeds(text: str, found: list[int]) -> None:
    assert seeds(text) == found


def test_the_table() -> None:
    lost = replace(ROW, seed=1, selected=False, correct=(True, True, False, False), wall=200.0)
    none = replace(ROW, name="nobody", selected=False, correct=(), status="no_candidate")
    lines = table([ROW, lost, none]).splitlines()
    # random (0.25 + 0.5) / 2, selected 1 of 2, oracle 2 of 2: (0.5 - 0.375) / (1 - 0.375) = 0.2
    assert lines[2] == "| busy-hours | 2 | 1 | 0.38 | 0.50 | 1.00 | 0.20 | 150 s | 1,200 | 90% |"
    assert lines[3] == "| nobody | 1 | 0 | 0.00 | 0.00 | 0.00 | - | 100 s | 1,200 | 90% |"
    assert lines[4].startswith("| **all** | 3 | 1 | 0.25 | 0.33 | 0.67 | 0.20 |")


def test_rows_survive_a_killed_run(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    assert read_rows(file) == []
    file.write_text(json.dumps(asdict(ROW)) + "\n" + json.dumps(asdict(ROW))[:50])
    assert read_rows(file) == [ROW]


@pytest.mark.parametrize("name", ["examples.py", "examples_of_issues.py", "propose.py", "small_bugs.py"])
def test_the_programs_start(name: str) -> None:
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / name), "--help"], capture_output=True, text=True, check=True
    )
    assert "--seeds" in done.stdout
