"""Tasks of local repositories, and the package's public names."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import harness
from harness.errors import IssueError, SettingsError
from harness.tasks import ISSUE_CAP, KEPT_SNAPSHOTS, checked_issue
from sandbox.base import ImageName, Recipe
from tests.harness.conftest import ISSUE, git


def test_a_task_of_a_local_repository(repo: Path, own_world: Path) -> None:
    task = harness.local_task(repo, ISSUE)
    assert task.base_commit == git(repo, "rev-parse", "HEAD").strip()
    assert task.repository == "repo"
    assert task.environment == Recipe("python:3.11", install=("python -m pip install pytest",))
    assert task.snapshot is not None
    assert task.snapshot.tar.is_relative_to(own_world)
    assert harness.local_task(repo, ISSUE) == task  # the same for the same
    assert harness.local_task(repo, ISSUE + "!").id != task.id


def test_the_settings_environment_and_base(repo: Path) -> None:
    (repo / "new.py").write_text("")
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "two")
    settings = harness.Settings.model_validate({"environment": {"image": "i:1", "test_command": "make test"}})
    task = harness.local_task(str(repo), ISSUE, settings, base="HEAD~1")
    assert task.base_commit == git(repo, "rev-parse", "HEAD~1").strip()
    assert task.environment == ImageName("i:1")
    assert task.test_command == "make test"
    missing = harness.Settings.model_validate({"environment": {"dockerfile": "Dockerfile"}})
    with pytest.raises(SettingsError, match="not in the repository"):
        harness.local_task(repo, ISSUE, missing)


def test_old_snapshots_are_removed(make_repo: Callable[..., Path], own_world: Path) -> None:
    folder = own_world / "snapshots"
    folder.mkdir()
    for number in range(KEPT_SNAPSHOTS + 3):
        (folder / f"{number}.tar").write_bytes(b"")
        os.utime(folder / f"{number}.tar", (number, number))
    task = harness.local_task(make_repo(), ISSUE)
    assert task.snapshot is not None
    kept = {path.name for path in folder.glob("*.tar")}
    assert len(kept) == KEPT_SNAPSHOTS
    assert task.snapshot.tar.name in kept
    assert "0.tar" not in kept


def test_snapshots_of_a_run_with_many_tasks_stay(make_repo: Callable[..., Path], own_world: Path) -> None:
    """All tasks may be made before the first is solved."""
    folder = own_world / "snapshots"
    folder.mkdir()
    for number in range(KEPT_SNAPSHOTS + 3):
        (folder / f"{number}.tar").write_bytes(b"")
    harness.local_task(make_repo(), ISSUE)
    assert len(list(folder.glob("*.tar"))) == KEPT_SNAPSHOTS + 4


def test_issues() -> None:
    assert checked_issue("a" * ISSUE_CAP) == "a" * ISSUE_CAP
    for wrong in ("a" * (ISSUE_CAP + 1), "", "\n \t"):
        with pytest.raises(IssueError):
            checked_issue(wrong)
    # What cannot be sent or stored is replaced, not passed on.
    checked_issue("half \udc80 of a character\0").encode("utf-8")


def test_the_public_names() -> None:
    assert harness.__all__ == [
        "HarnessError",
        "Result",
        "Settings",
        "Status",
        "UsageError",
        "load",
        "local_task",
        "solve",
    ]
    for name in harness.__all__:
        assert callable(getattr(harness, name)), name
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = harness.nothing  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "program",
    [
        "import harness; print(callable(harness.solve))",
        "import harness, harness.solve; print(callable(harness.solve))",
        "from harness.solve import limits_of; import harness; print(callable(harness.solve))",
        "from harness import solve; print(callable(solve))",
    ],
)
def test_solve_is_the_function_however_it_was_imported(program: str) -> None:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
