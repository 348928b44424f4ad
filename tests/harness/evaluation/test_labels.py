from pathlib import Path

import pytest

from harness.errors import DatasetError
from harness.evaluation.labels import candidates_of, read_labels, write_labels
from harness.evaluation.record import Evaluation, Outcome
from tests.harness.report_fixture import selected


def test_only_what_was_graded_to_an_end_has_a_label(tmp_path: Path) -> None:
    outcomes = [Outcome.RESOLVED, Outcome.UNRESOLVED, Outcome.PATCH_REJECTED, Outcome.INFRASTRUCTURE]
    evaluations = [Evaluation(instance_id="i", system=f"c{n}", outcome=o) for n, o in enumerate(outcomes)]
    write_labels(evaluations, tmp_path)
    labels = read_labels([str(tmp_path / "labels.jsonl")])
    assert {name: label.resolved for (_, name), label in labels.items()} == {"c0": True, "c1": False, "c2": False}


def test_all_candidates_of_a_run_are_predictions(tmp_path: Path) -> None:
    folder = tmp_path / "tasks" / "one"
    folder.mkdir(parents=True)
    result = selected()
    (folder / "result.json").write_text(result.model_dump_json())
    found = candidates_of(tmp_path)
    assert [(p.instance_id, p.model_name_or_path, p.model_patch) for p in found] == [
        ("one", made.id, made.patch) for made in result.candidates
    ]
    with pytest.raises(DatasetError, match="is no batch's directory"):
        candidates_of(folder)
