"""What becomes of a selected patch: a file, a branch, or a pull request. Done again, it does nothing twice."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from harness.errors import RepositoryError
from harness.github import GitHub, PullRequest
from harness.progress_state import title
from harness.repository import Repository
from harness.result import Result, Status
from sandbox.base import Patch

REASONS = 8
"""Of a selection that a pull request repeats."""


class Delivery(StrEnum):
    WRITE = "write"
    """The files of the run's directory are all."""
    BRANCH = "branch"
    """A branch of the local repository besides."""
    PULL_REQUEST = "pull-request"
    """The branch pushed, and a pull request from it."""


@dataclass(frozen=True)
class Destination:
    """Where a job's patch goes."""

    kind: Delivery
    repository: Path
    branch: str
    github: str | None = None
    """`OWNER/NAME` on GitHub; for pull requests."""
    target: str = "main"
    """The branch that a pull request asks to be merged into."""
    issue: int | None = None
    """The issue's number in that repository, if it is from there."""


@dataclass(frozen=True)
class Delivered:
    """What was done, in words, and where it can be looked at."""

    text: str
    where: str | None = None


def deliver(result: Result, to: Destination, *, dry_run: bool) -> Delivered:
    """Bring a selected patch where it is to go; any other result goes nowhere.

    `dry_run` only says what would be done. Raises RepositoryError, RemoteError.
    """
    if result.status is not Status.SELECTED or to.kind is Delivery.WRITE:
        return Delivered("nothing to deliver" if result.status is not Status.SELECTED else "written")
    if to.kind is Delivery.BRANCH:
        return _branch(result, to, dry_run=dry_run)
    return _pull_request(result, to, dry_run=dry_run)


def delivered_before(to: Destination) -> str | None:
    """Where an earlier run has brought this job's patch; None when it has not. Raises RepositoryError, RemoteError."""
    if to.kind is Delivery.PULL_REQUEST and to.github is not None:
        with GitHub() as github:
            return github.pull_request_of(to.github, to.branch)
    if to.kind is Delivery.BRANCH:
        with Repository.open(to.repository) as repository:
            return f"branch {to.branch}" if repository.branch_commit(to.branch) else None
    return None


def _branch(result: Result, to: Destination, *, dry_run: bool) -> Delivered:
    with Repository.open(to.repository) as repository:
        if repository.branch_commit(to.branch):
            return Delivered(f"the branch {to.branch} exists already and was left alone", f"branch {to.branch}")
        if dry_run:
            return Delivered(f"would make the branch {to.branch}")
        repository.apply_branch(
            Patch(result.patch), to.branch, base=result.task.base_commit, message=commit_message(result)
        )
    return Delivered(f"made the branch {to.branch}", f"branch {to.branch}")


def _pull_request(result: Result, to: Destination, *, dry_run: bool) -> Delivered:
    if to.github is None:
        raise RepositoryError(f'{to.repository} has no remote on GitHub; name it in the job: github = "OWNER/NAME"')
    with GitHub() as github:
        there = github.pull_request_of(to.github, to.branch)
        if there is not None:
            return Delivered("a pull request from this branch exists already", there)
        wanted = pull_request(result, to, to.github)
        if dry_run:
            return Delivered(f"would push {to.branch} and open {wanted.title!r} into {to.github}:{to.target}")
        with Repository.open(to.repository) as repository:
            # A run that was killed between the two left the branch: the same patch is the same branch.
            if repository.branch_commit(to.branch) is None:
                repository.apply_branch(
                    Patch(result.patch), to.branch, base=result.task.base_commit, message=commit_message(result)
                )
            repository.push(to.branch)
        return Delivered("opened a pull request", github.open_pull_request(wanted))


def commit_message(result: Result) -> str:
    """A title of the issue's first line, and where the patch is from."""
    sure = f"{result.confidence:.2f}" if result.confidence is not None else "unknown"
    return f"{_line(title(result.task.issue))[:72]}\n\nChosen by bestpatch with a confidence of {sure}.\n"


def pull_request(result: Result, to: Destination, github: str) -> PullRequest:
    """Title and text. What strangers wrote (the issue's title, names of files) notifies nobody and is no markup."""
    about = f"Proposed for #{to.issue}" if to.issue is not None else "Proposed"
    lines = [
        f"{about} by bestpatch, with a confidence of {result.confidence or 0:.2f}, out of "
        f"{len(result.candidates)} candidates. Nobody has reviewed it.",
        "",
        *(f"- {quiet(reason)}" for reason in result.reasons[:REASONS]),
        *(f"- Warning: {quiet(warning)}" for warning in result.warnings[:REASONS]),
    ]
    heading = _line(title(result.task.issue))[:200] or result.task.id
    return PullRequest(github, to.branch, to.target, heading, "\n".join(lines) + "\n")


def github_of(address: str | None) -> str | None:
    """`OWNER/NAME` of a remote's address on GitHub (or a server of its kind): https, ssh, or `git@HOST:OWNER/NAME`."""
    found = re.search(
        r"^(?:https?://[^/]+/|ssh://[^/]+/|[\w.-]+@[\w.-]+:)([\w.-]+/[\w.-]+?)(?:\.git)?/?$", address or ""
    )
    return found[1] if found else None


def _line(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text).strip()


def quiet(text: str) -> str:
    """One line of at most 500 characters, no markup of its own, no mention: a zero-width space after @, and escapes."""
    return re.sub(r"([\\`*_\[\]<>#|])", r"\\\1", _line(text[:500])).replace("@", "@\u200b")
