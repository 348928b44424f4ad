"""Reports: the official schema, JUnit, Markdown; strangers' words do no harm in them."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

from harness.evaluation.record import Evaluation, Outcome, TestRecord
from harness.evaluation.report import Graded, details, junit, official, summary, write_reports

EVIL = "| <b>x</b> \x1b[31m`[a](b)`\n# head"


def evaluation(name: str, outcome: Outcome, reason: str = "", *notes: str) -> Evaluation:
    failed = TestRecord(failure=("t::a\x1b",)) if outcome is Outcome.UNRESOLVED else TestRecord()
    return Evaluation(instance_id=name, system="m", outcome=outcome, reason=reason, notes=notes, FAIL_TO_PASS=failed)


EVERY = [evaluation(f"i{number}", outcome, EVIL, EVIL) for number, outcome in enumerate(Outcome)]
GRADED = Graded([*(e.instance_id for e in EVERY), "missing"], EVERY)


def test_the_official_report() -> None:
    found = official(GRADED)
    assert found == {
        "total_instances": 8,
        "submitted_instances": 7,
        "completed_instances": 2,
        "resolved_instances": 1,
        "unresolved_instances": 1,
        "empty_patch_instances": 1,
        "error_instances": 4,
        "completed_ids": ["i0", "i1"],
        "incomplete_ids": ["missing"],
        "empty_patch_ids": ["i2"],
        "submitted_ids": [f"i{n}" for n in range(7)],
        "resolved_ids": ["i0"],
        "unresolved_ids": ["i1"],
        "error_ids": ["i3", "i4", "i5", "i6"],
        "schema_version": 2,
    }


def test_junit() -> None:
    suite = ET.fromstring(junit(GRADED))
    counts = {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "8", "failures": "3", "errors": "2", "skipped": "2"}
    tags = {case.get("name"): [child.tag for child in case] for case in suite}
    assert tags == {
        "i0": [],
        "i1": ["failure"],
        "i2": ["skipped"],
        "i3": ["failure"],
        "i4": ["failure"],
        "i5": ["error"],
        "i6": ["error"],
        "missing": ["skipped"],
    }


def test_the_summary_is_one_table_whatever_was_said() -> None:
    page = summary(GRADED)
    assert "**1 of 8 instances resolved.**" in page
    assert "\x1b" not in page
    assert "<b>" not in page.replace("\\<", "")
    rows = [line for line in page.splitlines() if line.startswith("| i")]
    assert len(rows) == 2 + 1 + 7  # two outcomes, the head and each instance
    assert not any(line.startswith("# head") for line in page.splitlines())


def test_gold(tmp_path: Path) -> None:
    fine = Graded(["a"], [evaluation("a", Outcome.RESOLVED)], [evaluation("a", Outcome.UNRESOLVED)])
    assert fine.unexpected == ()
    assert "Every gold patch passes" in summary(fine)
    wrong = Graded(
        ["a", "b"],
        [evaluation("a", Outcome.UNRESOLVED, "no"), evaluation("b", Outcome.INFRASTRUCTURE, "gone")],
        [evaluation("a", Outcome.RESOLVED), evaluation("b", Outcome.INFRASTRUCTURE, "gone")],
    )
    assert wrong.unexpected == ("a: the gold patch: unresolved: no", "a: without a patch: resolved")
    assert [e.instance_id for e in wrong.unknown] == ["b", "b"]
    assert "Not as expected" in summary(wrong)
    write_reports(wrong, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"report.json", "details.json", "junit.xml", "summary.md"}
    assert json.loads((tmp_path / "report.json").read_text()) == official(wrong)
    assert json.loads((tmp_path / "details.json").read_text()) == details(wrong)
