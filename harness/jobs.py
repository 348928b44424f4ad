"""A jobs file: what a scheduled job tries each night, and what becomes of a patch.

    [defaults]
    result = "pull-request"             # write, branch, pull-request
    min_confidence = 0.6
    budget = "tokens=300k,wall=30m"     # of each job

    [[jobs]]
    issue = "issues/login.md"           # a file beside this one, or an address on GitHub
    repository = "../shop"              # the folder of this file unless said otherwise

    [[jobs]]
    label = "bestpatch"                 # every open issue of the repository on GitHub with this label
    github = "octo/shop"                # else where `origin` is
    most = 5

Issues are untrusted text. The file itself is trusted: it belongs to the person who runs bestpatch, not to the
repository that it names.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from harness.config import BudgetSettings, EnvironmentSettings
from harness.deliver import Delivery, Destination, github_of
from harness.errors import IssueError, JobsError, RepositoryError
from harness.github import GitHub, IssueAddress
from harness.repository import Repository
from harness.tasks import ISSUE_CAP, checked_issue
from harness.units import read_budget

FILE_CAP = 1024**2


def _budget(value: object) -> object:
    return read_budget(value) if isinstance(value, str) else value


class JobEntry(BaseModel):
    """One table of the file. What is not said is taken from `[defaults]`, then from the settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    issue: str | None = None
    label: str | None = None
    most: int = Field(default=20, ge=1, le=100)
    """Issues with the label that are taken, oldest first."""
    repository: str = "."
    base: str | None = None
    github: str | None = Field(default=None, pattern=r"^[\w.-]+/[\w.-]+$")
    result: Delivery = Delivery.WRITE
    branch: str | None = None
    target: str | None = None
    candidates: int | None = Field(default=None, ge=1, le=256)
    min_confidence: float | None = Field(default=None, ge=0, le=1)
    budget: Annotated[BudgetSettings | None, BeforeValidator(_budget)] = None
    environment: EnvironmentSettings | None = None

    @model_validator(mode="after")
    def _one_source(self) -> JobEntry:
        if (self.issue is None) == (self.label is None):
            raise ValueError("a job names an `issue` or a `label`, one of them")
        if self.label is not None and (self.id or self.branch):
            raise ValueError("a label may be several issues, each with an id and a branch of its own; leave these out")
        return self


@dataclass(frozen=True)
class IssueJob:
    """One issue to try."""

    id: str
    issue: str
    entry: JobEntry
    to: Destination


@dataclass(frozen=True)
class Unread:
    """A job whose issue or repository cannot be read: the others go on."""

    id: str
    why: str


def read_jobs(path: Path) -> list[JobEntry]:
    """The file's jobs, as they stand there. Raises JobsError, which names the job and the key."""
    try:
        if path.stat().st_size > FILE_CAP:
            raise JobsError(f"{path}: has more than {FILE_CAP // 1024**2} MB; a jobs file is a list of issues")
        tables = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise JobsError(f"{path}: cannot be read as TOML: {error}") from None
    unknown = sorted(set(tables) - {"defaults", "jobs"})
    defaults, jobs = tables.get("defaults", {}), tables.get("jobs", [])
    if unknown or not isinstance(defaults, dict) or not isinstance(jobs, list) or not jobs:
        wrong = f"does not know {', '.join(unknown)}" if unknown else "has no [[jobs]]"
        raise JobsError(f"{path}: {wrong}; a jobs file has one table [defaults] and a [[jobs]] for each issue or label")
    known, each = cast("dict[str, Any]", defaults), cast("list[object]", jobs)
    return [_entry(path, number, known, job) for number, job in enumerate(each, 1)]


def _entry(path: Path, number: int, defaults: dict[str, Any], job: object) -> JobEntry:
    try:
        return JobEntry.model_validate({**defaults, **cast("dict[str, Any]", job)})
    except (ValidationError, TypeError) as error:
        errors = error.errors(include_url=False) if isinstance(error, ValidationError) else []
        told = [(".".join(map(str, e["loc"])), e["msg"].removeprefix("Value error, ")) for e in errors]
        why = "; ".join(f"{key}: {message}" if key else message for key, message in told)
        raise JobsError(f"{path}: job {number}: {why or 'is no table'}") from None


def expanded(entries: Sequence[JobEntry], folder: Path) -> tuple[list[IssueJob], list[Unread]]:
    """The jobs with their issues read, labels resolved; and what could not be read. Blocks.

    Raises JobsError where two jobs have one id.
    """
    jobs: list[IssueJob] = []
    unread: list[Unread] = []
    for number, entry in enumerate(entries, 1):
        try:
            jobs += _labelled(entry, folder) if entry.label is not None else [_single(entry, folder)]
        except (IssueError, RepositoryError, OSError) as error:
            unread.append(Unread(entry.id or f"job-{number}", str(error)))
    names = [job.id for job in jobs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise JobsError(f"{', '.join(twice)}: named by more than one job; give each an `id` of its own")
    return jobs, unread


def _single(entry: JobEntry, folder: Path) -> IssueJob:
    given = cast(str, entry.issue)
    if re.match(r"https?://", given):
        address = IssueAddress.parse(given)
        with GitHub() as github:
            return _job(entry, folder, checked_issue(github.issue(address)), address)
    path = folder / given
    try:
        if path.stat().st_size > ISSUE_CAP:
            raise IssueError(f"{given}: has more than {ISSUE_CAP // 1024**2} MB; keep what describes the fault")
        text = path.read_text("utf-8", "replace")
    except OSError as error:
        raise IssueError(f"{path}: {error.strerror}; `issue` is a file beside the jobs file, or an address") from None
    return _job(entry, folder, checked_issue(text), None, path.stem)


def _labelled(entry: JobEntry, folder: Path) -> list[IssueJob]:
    name = entry.github or _remote(folder / entry.repository)[0]
    if name is None:
        raise RepositoryError(f'{entry.repository} has no remote on GitHub; name it: github = "OWNER/NAME"')
    with GitHub() as github:
        found = github.open_issues(name, cast(str, entry.label), entry.most)
    return [_job(entry, folder, checked_issue(text), address) for address, text in found if text]


def _job(entry: JobEntry, folder: Path, issue: str, address: IssueAddress | None, stem: str = "") -> IssueJob:
    root = (folder / entry.repository).resolve()
    made = f"issue-{address.number}" if address else re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-.")
    name = entry.id or made or "job"
    origin, target = _remote(root)
    github = entry.github or (address.repository if address else origin)
    branch = entry.branch or f"bestpatch/{name}"
    # The number says something only in the repository that the pull request is for.
    number = address.number if address and address.repository == github else None
    return IssueJob(name, issue, entry, Destination(entry.result, root, branch, github, entry.target or target, number))


def _remote(root: Path) -> tuple[str | None, str]:
    """The name on GitHub of where `origin` is, and the branch that work there starts from."""
    with Repository.open(root) as repository:
        return github_of(repository.remote_address()), repository.default_branch()
