"""Grades one patch in an open sandbox of its instance."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from harness.evaluation.grade import Grade, grade
from harness.evaluation.plan import TestPlan
from harness.evaluation.record import Evaluation, Outcome
from harness.evaluation.tree import Files, TreeRun, applicable, read_files, run_tree
from harness.instances import Instance
from sandbox.base import UNEDITED, Limits, Patch, RepoPath, Sandbox
from sandbox.errors import PatchRejected
from selection.execute import side_by_side
from selection.regression import touched_files
from selection.steering import steering


@dataclass(frozen=True)
class Job:
    """A patch to grade. Of an empty patch nothing is run, unless the unedited tree is what is asked about."""

    instance: Instance
    patch: Patch
    system: str
    unedited: bool = False


@dataclass(frozen=True)
class Bench:
    """What all patches of an instance are graded with."""

    sandbox: Sandbox
    plan: TestPlan
    files: Files
    """Of the test patch."""
    limits: Limits
    repeat: int


async def graded(job: Job, bench: Bench) -> tuple[Evaluation, str]:
    """The evaluation, and the log of the last run. Raises SandboxLost, SandboxTimeout, DiskFull."""
    instance = job.instance
    try:
        patch, fuzzy = await applicable(bench.sandbox, job.patch) if job.patch else (UNEDITED, False)
    except PatchRejected as error:
        return Evaluation(
            instance_id=instance.instance_id, system=job.system, outcome=Outcome.PATCH_REJECTED, reason=str(error)
        ), ""
    touched = touched_files(patch)
    notes = [
        f"its changes to {path}, a file of the test patch, were discarded" for path in touched if path in bench.files
    ]
    if fuzzy:
        notes.append("git does not take it as it is; it was applied with fuzz, as the official harness does")
    runs = await _runs(instance, bench, patch, bench.files)
    result = grade(instance, runs)
    steers = _steers(touched, bench.files, touched_files(Patch(instance.patch)))
    reason = ""
    if steers:
        notes.append(f"it touches {', '.join(steers)}, which can steer a test run")
        if result.resolved:
            # A fix does not need them; a patch that passes by them alone has been seen (SWE-bench#631).
            aside = {**await read_files(bench.sandbox, steers), **bench.files}
            again = await _runs(instance, bench, patch, aside)
            without = grade(instance, again)
            runs = [*runs, *again]
            if not without.resolved:
                result, reason = without, f"it passes only with its changes to {', '.join(steers)}"
    return _evaluation(job, bench, runs, result, reason, notes), runs[-1].execution.output


def _steers(touched: Sequence[RepoPath], files: Iterable[RepoPath], gold: Iterable[RepoPath]) -> tuple[RepoPath, ...]:
    """Files that steer tests and that the patch touches beside those which the gold patch touches, too."""
    known = {*files, *gold}
    return steering(path for path in touched if path not in known)


async def _runs(instance: Instance, bench: Bench, patch: Patch, files: Files) -> list[TreeRun]:
    runs: list[TreeRun] = []

    async def once() -> None:
        runs.append(await run_tree(instance, bench.plan, bench.sandbox, patch, files, bench.limits))

    await side_by_side(partial(once) for _ in range(bench.repeat))
    return runs


def _evaluation(
    job: Job, bench: Bench, runs: Sequence[TreeRun], result: Grade, reason: str, notes: Sequence[str]
) -> Evaluation:
    outcome = Outcome.RESOLVED if result.resolved else Outcome.UNRESOLVED
    if not result.resolved and all(run.timed_out for run in runs):
        outcome, reason = Outcome.TIMED_OUT, f"the tests did not end within {bench.limits.seconds:.0f} s"
    return Evaluation(
        instance_id=job.instance.instance_id,
        system=job.system,
        outcome=outcome,
        reason=reason or _why(result) if outcome is Outcome.UNRESOLVED else reason,
        notes=(*notes, *result.notes),
        FAIL_TO_PASS=result.fail_to_pass,
        PASS_TO_PASS=result.pass_to_pass,
        flaky=result.flaky,
        exit_code=runs[-1].exit_code,
        test_seconds=sum(run.execution.seconds for run in runs),
        command=bench.plan.command,
        image=bench.sandbox.digest,
    )


def _why(result: Grade) -> str:
    parts = [
        f"{len(part.failure)} of {len(part.failure) + len(part.success)} {name} failed"
        for name, part in (("FAIL_TO_PASS", result.fail_to_pass), ("PASS_TO_PASS", result.pass_to_pass))
        if part.failure
    ]
    return ", ".join(parts)
