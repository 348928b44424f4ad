"""`bestpatch batch JOBS.toml`: the issues of a jobs file as one run, and what becomes of their patches."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from agent.task import Task
from harness.batch import Job
from harness.commands.batch import Asked, run_jobs, settings_of
from harness.commands.common import say
from harness.commands.deliver import delivered, tell
from harness.commands.exit import FAILED, Exit
from harness.config import Settings
from harness.deliver import delivered_before
from harness.errors import RemoteError, RepositoryError
from harness.jobs import IssueJob, Unread, expanded, read_jobs
from harness.load import load
from harness.repository import Repository
from harness.tasks import local_task


def jobs_command(path: Path, asked: Asked, flags: dict[str, object], *, deliver: bool) -> None:
    """Raises Exit with the run's code, or 4 where an issue could not be read or a patch not delivered; JobsError."""
    settings = settings_of(asked, flags)
    found, unread = expanded(read_jobs(path), path.parent)
    tried: list[IssueJob] = []
    for job in found:
        try:
            there = delivered_before(job.to)
        except (RemoteError, RepositoryError) as error:
            unread.append(Unread(job.id, str(error)))
            continue
        if there is None:
            tried.append(job)
        else:
            say(f"{job.id}: not tried again, there is {there}")
    for one in unread:
        say(f"{one.id}: {one.why}")
    try:
        run_jobs([_job(job, asked, flags) for job in tried], settings, asked)
    except Exit as end:
        lines = delivered(tried, unread, asked.run, yes=deliver)
        if not asked.json and not asked.quiet:
            tell(lines, yes=deliver)
        if end.code in (0, 3) and any(line.failed for line in lines):
            raise Exit(FAILED) from None
        raise


def _job(job: IssueJob, asked: Asked, flags: dict[str, object]) -> Job:
    settings = _settings(job, asked, flags)
    with Repository.open(job.to.repository) as repository:
        base = repository.base(job.entry.base)
    parts = (job.issue, base, job.entry.model_dump_json(exclude={"result", "branch", "target", "github", "repository"}))
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    return Job(job.id, digest, LocalTask(job.to.repository, job.issue, settings, base), settings)


@dataclass(frozen=True)
class LocalTask:
    """Makes the task of a local repository and an issue; see `Job.make`."""

    repository: Path
    issue: str
    settings: Settings
    base: str

    def __call__(self, _folder: Path) -> Task:
        return local_task(self.repository, self.issue, self.settings, base=self.base)


def _settings(job: IssueJob, asked: Asked, flags: dict[str, object]) -> Settings:
    """What `bestpatch solve` would take for this repository, with what the job says."""
    entry = job.entry
    root = None if asked.config else job.to.repository
    settings = load(repository=root, config=asked.config, flags=flags)
    changed: dict[str, object] = {
        name: value for name in ("candidates", "budget", "environment") if (value := getattr(entry, name)) is not None
    }
    if entry.min_confidence is not None:
        update = {"min_confidence": entry.min_confidence}
        changed["selection"] = settings.selection.model_copy(update=update)
    return settings.model_copy(update=changed)
