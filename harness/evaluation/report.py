"""What a run of evaluations came to: the official report, and ours beside it."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.evaluation.record import Evaluation, Outcome
from harness.evaluation.store import write

GRADED = frozenset({Outcome.RESOLVED, Outcome.UNRESOLVED})
UNKNOWN = frozenset({Outcome.INSTANCE_ERROR, Outcome.INFRASTRUCTURE})
"""Outcomes that say nothing of the patch."""


@dataclass(frozen=True)
class Graded:
    """A set of instances, and one system's evaluations of some of them."""

    instances: Sequence[str]
    evaluations: Sequence[Evaluation]
    unedited: Sequence[Evaluation] = ()
    """`--gold`: the same instances without any patch, which must not pass."""

    @property
    def unexpected(self) -> tuple[str, ...]:
        """`--gold`: sentences on gold patches that do not pass and unedited trees that do."""
        wrong = [f"{e.instance_id}: the gold patch: {said(e)}" for e in self.evaluations if e.outcome in _NOT_GOLD]
        return (*wrong, *(f"{e.instance_id}: without a patch: {said(e)}" for e in self.unedited if _passes(e)))

    @property
    def unknown(self) -> tuple[Evaluation, ...]:
        return tuple(e for e in (*self.evaluations, *self.unedited) if e.outcome in UNKNOWN)


_NOT_GOLD = frozenset(Outcome) - {Outcome.RESOLVED, Outcome.INFRASTRUCTURE}


def _passes(unedited: Evaluation) -> bool:
    return unedited.outcome is Outcome.RESOLVED


def said(evaluation: Evaluation) -> str:
    """The outcome in words."""
    reason = f": {evaluation.reason.splitlines()[0]}" if evaluation.reason else ""
    return _words(evaluation.outcome) + reason


def _words(outcome: Outcome) -> str:
    return outcome.value.replace("_", " ")


def official(graded: Graded) -> dict[str, object]:
    """The report in the schema of SWE-bench's own harness, version 2.

    `error` there is everything that was not graded to an end: patches that do not apply, timeouts, infrastructure.
    """
    ids: dict[Outcome, list[str]] = {outcome: [] for outcome in Outcome}
    for evaluation in graded.evaluations:
        ids[evaluation.outcome].append(evaluation.instance_id)
    submitted = sorted({e.instance_id for e in graded.evaluations})
    completed = sorted(ids[Outcome.RESOLVED] + ids[Outcome.UNRESOLVED])
    errors = sorted(e.instance_id for e in graded.evaluations if e.outcome not in GRADED | {Outcome.EMPTY_PATCH})
    return {
        "total_instances": len(graded.instances),
        "submitted_instances": len(submitted),
        "completed_instances": len(completed),
        "resolved_instances": len(ids[Outcome.RESOLVED]),
        "unresolved_instances": len(ids[Outcome.UNRESOLVED]),
        "empty_patch_instances": len(ids[Outcome.EMPTY_PATCH]),
        "error_instances": len(errors),
        "completed_ids": completed,
        "incomplete_ids": sorted(set(graded.instances) - set(submitted)),
        "empty_patch_ids": sorted(ids[Outcome.EMPTY_PATCH]),
        "submitted_ids": submitted,
        "resolved_ids": sorted(ids[Outcome.RESOLVED]),
        "unresolved_ids": sorted(ids[Outcome.UNRESOLVED]),
        "error_ids": errors,
        "schema_version": 2,
    }


def details(graded: Graded) -> dict[str, object]:
    """Everything that is known, for programs."""
    return {
        "schema_version": 1,
        "evaluations": [e.model_dump(mode="json") for e in graded.evaluations],
        "unedited": [e.model_dump(mode="json") for e in graded.unedited],
        "unexpected": list(graded.unexpected) if graded.unedited else [],
    }


def junit(graded: Graded) -> bytes:
    """A test case for each instance, as CI systems show them: failed is unresolved, an error was not graded."""
    counts = Counter(e.outcome for e in graded.evaluations)
    errors = sum(counts[outcome] for outcome in UNKNOWN)
    skipped = len(set(graded.instances) - {e.instance_id for e in graded.evaluations}) + counts[Outcome.EMPTY_PATCH]
    suite = ET.Element("testsuite", name="bestpatch evaluate", tests=str(len(graded.instances)))
    suite.set(
        "failures", str(len(graded.evaluations) - counts[Outcome.RESOLVED] - errors - counts[Outcome.EMPTY_PATCH])
    )
    suite.set("errors", str(errors))
    suite.set("skipped", str(skipped))
    for evaluation in graded.evaluations:
        case = _case(suite, evaluation.instance_id, evaluation.test_seconds)
        if evaluation.outcome in UNKNOWN:
            _add(case, "error", said(evaluation), evaluation)
        elif evaluation.outcome is Outcome.EMPTY_PATCH:
            _add(case, "skipped", "the patch is empty", evaluation)
        elif evaluation.outcome is not Outcome.RESOLVED:
            _add(case, "failure", said(evaluation), evaluation)
    for name in sorted(set(graded.instances) - {e.instance_id for e in graded.evaluations}):
        ET.SubElement(_case(suite, name, 0.0), "skipped", message="no prediction")
    return ET.tostring(suite, encoding="utf-8", xml_declaration=True)


def _case(suite: ET.Element, name: str, seconds: float) -> ET.Element:
    return ET.SubElement(suite, "testcase", classname="instances", name=name, time=f"{seconds:.3f}")


def _add(case: ET.Element, tag: str, message: str, evaluation: Evaluation) -> None:
    failed = (*evaluation.FAIL_TO_PASS.failure, *evaluation.PASS_TO_PASS.failure)
    ET.SubElement(case, tag, message=_clean(message)).text = _clean("\n".join((*evaluation.notes, *failed)))


def _clean(text: str) -> str:
    """Without what XML and terminals cannot have: parts of it come from candidates."""
    return "".join(char if char.isprintable() or char in "\n\t" else "�" for char in text)


def summary(graded: Graded) -> str:
    """A page in Markdown, such as CI systems show beside a job."""
    report = official(graded)
    lines = [
        "# Evaluation",
        "",
        f"**{report['resolved_instances']} of {report['total_instances']} instances resolved.**",
        "",
        "| outcome | instances |",
        "| --- | --- |",
    ]
    counts = Counter(e.outcome for e in graded.evaluations)
    lines += [f"| {_words(outcome)} | {counts[outcome]} |" for outcome in Outcome if counts[outcome]]
    if missing := len(graded.instances) - len({e.instance_id for e in graded.evaluations}):
        lines.append(f"| no prediction | {missing} |")
    if graded.unedited:
        unexpected = graded.unexpected
        lines += [
            "",
            "Every gold patch passes and no unedited tree does." if not unexpected else "Not as expected:",
            "",
        ]
        lines += [f"- {_inline(sentence)}" for sentence in unexpected]
    rest = [e for e in graded.evaluations if e.outcome is not Outcome.RESOLVED or e.notes or e.flaky]
    if rest:
        lines += ["", "| instance | outcome | why | notes |", "| --- | --- | --- | --- |"]
        lines += [
            "| " + " | ".join((e.instance_id, _words(e.outcome), _inline(e.reason), _inline("; ".join(e.notes)))) + " |"
            for e in rest
        ]
    return "\n".join(lines) + "\n"


def _inline(text: str) -> str:
    """One line of a table: no line breaks, no markup of strangers."""
    plain = _clean(" ".join(text.split()))[:300]
    return "".join(f"\\{char}" if char in "\\`*_[]<>|#" else char for char in plain)


def write_reports(graded: Graded, run: Path) -> None:
    """report.json, details.json, junit.xml and summary.md in the run's directory. Raises JournalError."""
    write(run / "report.json", json.dumps(official(graded), indent=1).encode())
    write_details(graded, run)
    write(run / "junit.xml", junit(graded))
    write(run / "summary.md", summary(graded).encode())


def write_details(graded: Graded, run: Path) -> None:
    """details.json alone. Raises JournalError."""
    write(run / "details.json", json.dumps(details(graded), indent=1).encode())
