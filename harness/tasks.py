"""Makes a task of a local repository and an issue."""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path

from agent.task import Task, TaskId
from harness.config import Settings
from harness.environments import find_environment
from harness.errors import IssueError
from harness.repository import Repository
from sandbox.base import Snapshot

ISSUE_CAP = 1024**2
"""Bytes of an issue. The longest of SWE-bench is some 30 kB; beyond this it is a log file that was meant."""

KEPT_SNAPSHOTS = 16
IN_USE_SECONDS = 7 * 86400.0
"""Snapshots beyond that number go when none has asked for them this long."""


def local_task(
    repository: Path | str, issue: str, settings: Settings | None = None, *, base: str | None = None
) -> Task:
    """The task of solving an issue in a local repository at a commit (`HEAD` unless named).

    The working tree is not looked at: uncommitted changes are not part of the task.
    Raises RepositoryError, IssueError, SettingsError (a named Dockerfile that is not there).
    """
    settings = settings or Settings()
    issue = checked_issue(issue)
    with Repository.open(Path(repository)) as repo:
        commit = repo.base(base)
        found = find_environment(repo.tree(commit), settings.environment)
        return Task(
            id=TaskId(f"{repo.name}-{hashlib.sha256(f'{commit} {issue}'.encode()).hexdigest()[:8]}"),
            issue=issue,
            repository=repo.name,
            base_commit=commit,
            environment=found.environment,
            snapshot=kept_snapshot(repo, commit, settings.paths.cache / "snapshots"),
            test_command=settings.environment.test_command,
        )


def checked_issue(text: str) -> str:
    """The issue, if it can be one. Raises IssueError."""
    size = len(text.encode("utf-8", "replace"))
    if size > ISSUE_CAP:
        raise IssueError(
            f"the issue has {size / 1e6:.1f} MB; at most {ISSUE_CAP // 1024**2} MB is read. "
            "Keep the description and the lines of a log that show the fault"
        )
    if not text.strip():
        raise IssueError("the issue is empty; describe what is wrong, in a file, as text, or on standard input")
    # Lone surrogates (a file that was no UTF-8) cannot be sent to a model or stored as JSON.
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "")


def kept_snapshot(repo: Repository, commit: str, folder: Path) -> Snapshot:
    """The snapshot, kept by content for the next issue on the same commit."""
    folder.mkdir(parents=True, exist_ok=True)
    tree = repo.tree_id(commit)
    path = folder / f"{tree}.tar"
    if path.is_file():
        with suppress(OSError):
            os.utime(path)  # the oldest by use are removed
        return Snapshot(path, tree)
    for part in folder.glob("*.part"):
        if time.time() - part.stat().st_mtime > IN_USE_SECONDS:
            part.unlink(missing_ok=True)  # a killed process left it
    used = {known: known.stat().st_mtime for known in folder.glob("*.tar")}
    for stale in sorted(used, key=used.__getitem__)[: -KEPT_SNAPSHOTS + 1]:
        # A run that made many tasks at its start comes to the last of them hours later.
        if time.time() - used[stale] > IN_USE_SECONDS:
            stale.unlink(missing_ok=True)
    return repo.snapshot(commit, path)
