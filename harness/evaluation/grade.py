"""From runs of the tests to what counts: which of the two lists passed, what was flaky, what looks like cheating."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness import swebench
from harness.evaluation.record import TestRecord
from harness.evaluation.tree import PASSED, TreeRun
from harness.instances import Instance

SHOWN = 3


@dataclass(frozen=True)
class Grade:
    """What all runs on one tree say together."""

    resolved: bool
    fail_to_pass: TestRecord
    pass_to_pass: TestRecord
    flaky: tuple[str, ...]
    notes: tuple[str, ...]


def grade(instance: Instance, runs: Sequence[TreeRun]) -> Grade:
    """Of several runs a test has passed that passed in more than half of them. The rest is swebench's grading."""
    wanted = tuple(dict.fromkeys((*instance.FAIL_TO_PASS, *instance.PASS_TO_PASS)))
    passes = {name: sum(run.statuses.get(name) in PASSED for run in runs) for name in wanted}
    flaky = tuple(name for name, count in passes.items() if 0 < count < len(runs))
    report, resolved = swebench.graded(
        instance.repo, _together(runs, passes), instance.FAIL_TO_PASS, instance.PASS_TO_PASS
    )
    claimed = sorted({name for run in runs for name in run.claimed} & set(wanted))
    notes: list[str] = []
    if claimed:
        notes.append(f"the log claims that {_some(claimed)} passed, and the tests' own process did not say so")
    if any(not run.ended and not run.timed_out for run in runs):
        notes.append("the tests' process was ended before its own end")
    if flaky:
        notes.append(f"flaky: {_some(flaky)}")
    return Grade(resolved, _record(report["FAIL_TO_PASS"]), _record(report["PASS_TO_PASS"]), flaky, tuple(notes))


def _together(runs: Sequence[TreeRun], passes: Mapping[str, int]) -> dict[str, str]:
    """Each test's status in the last run, unless the majority of all says otherwise."""
    statuses: dict[str, str] = {}
    for run in runs:
        statuses.update(run.statuses)
    for name, count in passes.items():
        if 2 * count > len(runs):
            statuses[name] = "PASSED"
        elif statuses.get(name) in PASSED:
            statuses[name] = "FAILED"
    return statuses


def _record(part: Mapping[str, list[str]]) -> TestRecord:
    return TestRecord(success=tuple(part["success"]), failure=tuple(part["failure"]))


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
