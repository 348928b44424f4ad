"""`bestpatch deliver`: the selected patches of a jobs file become branches and pull requests."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.commands.common import give, say
from harness.commands.exit import FAILED, Exit
from harness.deliver import Delivered, deliver, quiet
from harness.errors import HarnessError
from harness.jobs import IssueJob, Unread, expanded, read_jobs
from harness.progress_state import title
from harness.result import Result


@dataclass(frozen=True)
class Line:
    """What became of one job."""

    id: str
    issue: str
    """Its first line."""
    status: str
    confidence: float | None
    text: str
    where: str | None
    failed: bool = False


def deliver_command(jobs: Path, run: Path, *, yes: bool, as_json: bool) -> None:
    """Raises Exit with 4 where a job could not be delivered, JobsError."""
    lines = delivered(*expanded(read_jobs(jobs), jobs.parent), run, yes=yes)
    if as_json:
        give(json.dumps([asdict(line) for line in lines], indent=1))
    else:
        tell(lines, yes=yes)
    raise Exit(FAILED if any(line.failed for line in lines) else 0)


def delivered(jobs: Sequence[IssueJob], unread: Sequence[Unread], run: Path, *, yes: bool) -> list[Line]:
    """Deliver what the run has selected, or say what would be done; the CI's summary gets a table of it."""
    lines = [_line(job, run, yes=yes) for job in jobs]
    lines += [Line(one.id, "", "unread", None, one.why, None, failed=True) for one in unread]
    write_summary(lines)
    return lines


def tell(lines: Sequence[Line], *, yes: bool) -> None:
    for line in lines:
        give(_clean(f"{line.id}: {line.text}{f' ({line.where})' if line.where else ''}"))
    if not yes and any(line.text.startswith("would ") for line in lines):
        say("nothing was changed; `bestpatch deliver JOBS --run DIR --yes` does it")


def _line(job: IssueJob, run: Path, *, yes: bool) -> Line:
    name = title(job.issue)
    path = run / "tasks" / job.id / "result.json"
    if not path.is_file():
        return Line(job.id, name, "waiting", None, f"has no result in {run} yet; run bestpatch batch", None)
    try:
        result = Result.model_validate_json(path.read_bytes())
        if result.task.issue != job.issue:
            done = Delivered("its issue has changed since it was tried; run bestpatch batch in a new directory")
            return Line(job.id, name, "changed", None, done.text, None)
        done = deliver(result, job.to, dry_run=not yes)
    except (HarnessError, OSError, ValueError) as error:
        return Line(job.id, name, "failed", None, str(error), None, failed=True)
    return Line(job.id, name, result.status, result.confidence, done.text, done.where)


def write_summary(lines: Sequence[Line]) -> None:
    """A table of the jobs where the CI asks for one (`GITHUB_STEP_SUMMARY`)."""
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if not path:
        return
    rows = ["| job | issue | result | confidence | |", "| --- | --- | --- | ---: | --- |"]
    for line in lines:
        sure = "" if line.confidence is None else f"{line.confidence:.2f}"
        told = f"[{quiet(line.text)}]({line.where})" if (line.where or "").startswith("http") else quiet(line.text)
        rows.append(f"| {quiet(line.id)} | {quiet(line.issue)} | {line.status} | {sure} | {told} |")
    with Path(path).open("a", encoding="utf-8", errors="replace") as file:
        file.write("## bestpatch\n\n" + "\n".join(rows) + "\n\n")


def _clean(text: str) -> str:
    return "".join(char if char.isprintable() else "�" for char in text)
