"""A run as a pool: every recorded verdict, the trajectories without a patch, and labels from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.errors import DatasetError
from harness.result import CandidateRecord, CellRecord, ProbeRecord, RegressionRecord, Result, ScriptRecord
from harness.study_pool import read_pool
from sandbox.script import Verdict
from selection.pool import PoolTask
from tests.harness.report_fixture import execution, selected
from tests.harness.test_study_pool import FIX, written


def run_folder(tmp_path: Path, result: Result) -> Path:
    folder = tmp_path / "run" / "tasks" / "one"
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(result.model_dump_json())
    return tmp_path / "run"


def cell(script: str, column: str, verdict: Any) -> CellRecord:
    return CellRecord(script=script, column=column, verdict=verdict, execution=execution(verdict))


def made(number: int, class_id: str | None, broken: tuple[str, ...] = ()) -> CandidateRecord:
    return CandidateRecord(
        id=f"candidate-{number}",
        trajectory=f"trajectory-{number}",
        script=f"script-{number}",
        patch=FIX,
        class_id=class_id,
        passes_own_script=True,
        votes=0.0,
        broken_tests=broken,
        rank=None,
    )


@pytest.fixture
def result() -> Result:
    """Three trajectories of four left a candidate; the patch of one does not apply."""
    scripts = [
        ScriptRecord(id=f"script-{n}", trajectory=f"trajectory-{n}", source="assert x", valid=n != 1, weight=0.0)
        for n in range(3)
    ]
    plain = selected()
    return plain.model_copy(
        update={
            "candidates": (made(0, "c1"), made(1, "c2", ("test_a",)), made(2, "c3")),
            "scripts": tuple(scripts),
            "matrix": tuple(
                cell(script, column, verdict)
                for script in ("script-0", "script-2")
                for column, verdict in (("unedited", "failed"), ("c1", "passed"), ("c2", "failed"), ("c3", "broken"))
            ),
            "vetoed": {"c2": "it breaks 1 of the tests", "c3": "its patch does not apply: no"},
            "regression": RegressionRecord(command="pytest", passing=7, flaky=(), broken={"c2": ("test_a",)}, note=""),
            "manifest": plain.manifest.model_copy(update={"settings": {"candidates": 4}, "model": "m"}),
            "given": (),
            "probes": (
                ProbeRecord(
                    id="p1",
                    function="f",
                    call="f(1)",
                    origin="script-0",
                    varied=False,
                    outputs={"c1": "1"},
                    on_unedited="2",
                ),
            ),
        }
    )


def labels(tmp_path: Path, **resolved: bool) -> str:
    rows = [
        {"instance_id": "one", "candidate": name.replace("_", "-"), "resolved": right, "group": "g"}
        for name, right in resolved.items()
    ]
    return written(tmp_path / "labels.jsonl", *rows)


def test_a_run_becomes_a_task_with_its_verdicts_and_labels(tmp_path: Path, result: Result) -> None:
    known = labels(tmp_path, candidate_0=True, candidate_1=False, candidate_2=False)
    (found,) = read_pool([str(run_folder(tmp_path, result))], [known]).tasks
    assert PoolTask.model_validate_json(found.model_dump_json()) == found
    assert (found.id, found.group, found.passing, found.broken["c2"]) == ("one", "g", 7, 1)  # type: ignore[index]
    assert [(c.id, c.class_id, c.resolved, c.source) for c in found.candidates] == [
        ("candidate-0", "c1", True, "m"),
        ("candidate-1", "c2", False, "m"),
        ("candidate-2", None, False, "m"),
        ("trajectory-3", None, False, "m"),
    ]
    assert [s.unedited for s in found.scripts] == [Verdict.FAILED, None, Verdict.FAILED]
    assert found.scripts[0].digest == found.scripts[2].digest
    assert [(p.origin, p.outputs) for p in found.probes] == [("script-0", {"c1": "1"})]
    assert found.cells["script-0"]["c1"] is Verdict.PASSED  # type: ignore[index]


def test_a_run_without_labels_says_how_to_get_them(tmp_path: Path, result: Result) -> None:
    run = run_folder(tmp_path, result)
    with pytest.raises(DatasetError, match=r"one \(candidate-0\); grade them with\n  bestpatch evaluate .*run --inst"):
        read_pool([str(run)])
    other = tmp_path / "run" / "tasks" / "two"
    other.mkdir()
    (other / "result.json").write_text(result.model_copy(update={"candidates": ()}).model_dump_json())
    pool = read_pool([str(run)])
    assert [task.id for task in pool.tasks] == ["two"]
    assert "1 tasks lack labels" in pool.notes[0]


def test_examples_of_the_issue_cost_no_tokens(result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spent = {(f"trajectory-{n}", stage): 30 + n for n in range(3) for stage in ("test_writing", "editing")}
    monkeypatch.setattr("harness.study_run._tokens", lambda _: spent)
    example = ScriptRecord(id="script-issue-0", trajectory="issue", source="assert y", valid=False, weight=0.0)
    with_example = result.model_copy(update={"scripts": (*result.scripts, example)})
    known = labels(tmp_path, candidate_0=True, candidate_1=False, candidate_2=False)
    (task,) = read_pool([str(run_folder(tmp_path, with_example))], [known]).tasks
    assert [script.completion_tokens for script in task.scripts] == [30, 31, 32, 0]
