"""`benchmarks/judgements.py`: a finished run becomes judgements that `study` takes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from harness.result import CandidateRecord, Result
from selection.pool import TaskJudgements
from tests.harness.report_fixture import selected

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))  # solving.py takes it away again
from judgements import largest, main

RULES = '[[rule]]\nmatch = "(?s)candidate-A.*c2 = 1.*<candidate-B"\nanswers = ["A"]\n[[rule]]\nanswers = ["B"]\n'


def made(number: int, class_id: str, rank: int | None) -> CandidateRecord:
    return CandidateRecord(
        id=f"candidate-{number}",
        trajectory=f"trajectory-{number}",
        script=None,
        patch=f"--- a/f.py\n+++ b/f.py\n@@ -1 +1 @@\n-x\n+{class_id} = 1  # {number}\n",
        class_id=class_id,
        passes_own_script=True,
        votes=0.0,
        broken_tests=(),
        rank=rank,
    )


@pytest.fixture
def result() -> Result:
    """Four classes: c4 cannot be chosen at all; c2 is the largest, c3 the best ranked of the other two."""
    classes = [("c1", 3), ("c2", 2), ("c3", 1), ("c2", 2), ("c4", None), ("c4", None), ("c4", None)]
    candidates = tuple(made(number, *one) for number, one in enumerate(classes))
    return selected().model_copy(update={"candidates": candidates, "vetoed": {"c4": "the patch does not apply"}})


def test_the_largest_classes_are_judged_and_the_best_ranked_of_equals(result: Result) -> None:
    assert list(largest(result, 9)) == ["c2", "c3", "c1"]
    assert list(largest(result, 2)) == ["c2", "c3"]
    assert "# 1\n" in largest(result, 1)[next(iter(largest(result, 1)))]  # the patch of the first member


def test_a_run_becomes_lines_of_judgements(
    result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = result.model_copy(update={"candidates": result.candidates[:1]})
    for name, one in (("one", result), ("alone", alone)):
        folder = tmp_path / "run" / "tasks" / name
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(one.model_dump_json())
    (tmp_path / "rules.toml").write_text(RULES)
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"instance_id": n, "files": {"f.py": "x\n"}}) + "\n" for n in ("one", "alone")))
    out = tmp_path / "out.jsonl"
    flags = ["--instances", rows, "--model", f"scripted:{tmp_path / 'rules.toml'}", "--out", out]
    monkeypatch.setattr(sys, "argv", ["judgements", str(tmp_path / "run"), *map(str, flags)])
    main()
    line = TaskJudgements.model_validate_json(out.read_text())  # one line: a class alone is asked nothing
    assert line.id == "one"
    assert {(j.first, j.second): j.probability for j in line.judgements} == {
        ("c2", "c3"): 1.0,
        ("c2", "c1"): 1.0,
        ("c3", "c2"): 0.0,
        ("c1", "c2"): 0.0,
        ("c3", "c1"): 0.0,
        ("c1", "c3"): 0.0,
    }
    told = capsys.readouterr().out.splitlines()[-1]
    assert told.startswith("| 1 | 6 | 0.000 |")  # tasks, pairs, with probabilities
    assert "| 0.667 |" in told  # both orders agree for two of three pairs
