"""The task: what all stages of one issue share, and never change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NewType

from sandbox.base import Environment, Snapshot

TaskId = NewType("TaskId", str)


@dataclass(frozen=True)
class Task:
    """An issue to solve in a repository at a commit, with the environment it runs in."""

    id: TaskId
    issue: str
    """The issue's text: untrusted, size-capped when it was read."""
    repository: str
    """The repository's name, for prompts and reports."""
    base_commit: str
    environment: Environment
    snapshot: Snapshot | None = None
    """The tree at the base commit; None where the environment's image holds the repository already."""
    test_command: str | None = None
    """Shell command that runs the repository's own tests, with `{tests}` where it takes some test files only;
    found in the repository when None."""
