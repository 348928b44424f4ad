"""`bestpatch batch` on a jobs file, in a process of its own: scripted model, real containers, a scripted GitHub."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.conftest import ISSUE, git
from tests.harness.scripted_github import serving

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900), pytest.mark.xdist_group("docker")]

JOBS = """
[defaults]
repository = "repo"
candidates = 3
[[jobs]]
issue = "add.md"
result = "branch"
[[jobs]]
issue = "https://github.com/octo/shop/issues/7"
result = "pull-request"
[[jobs]]
issue = "none.md"
"""


def test_a_night_in_ci(
    make_repo: Callable[..., Path], rules: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    repo, remote = make_repo(), tmp_path / "remote.git"
    git(tmp_path, "init", "-q", "--bare", str(remote))
    git(repo, "remote", "add", "origin", str(remote))
    (tmp_path / "jobs.toml").write_text(JOBS)
    (tmp_path / "add.md").write_text(ISSUE)
    summary = tmp_path / "summary.md"
    with serving() as github:
        github.issues["octo/shop/7"] = {"number": 7, "title": "The sum is wrong", "body": ISSUE}
        env = {
            **os.environ,
            **github.environ("the-token"),
            "BESTPATCH_CACHE": str(tmp_path_factory.mktemp("cache")),
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "GITHUB_STEP_SUMMARY": str(summary),
        }

        def run(*args: str) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, "-m", "harness.cli", "batch", "jobs.toml", "--run", "run", *args]
            return subprocess.run(
                [*command, "--model", f"scripted:{rules}"], cwd=tmp_path, env=env, capture_output=True, text=True
            )

        first = run()
        assert first.returncode == 4, first.stderr  # one issue cannot be read
        assert "add: would make the branch bestpatch/add" in first.stdout
        assert "issue-7: would push bestpatch/issue-7 and open 'The sum is wrong' into octo/shop:main" in first.stdout
        assert "none.md: No such file" in first.stderr
        assert git(repo, "branch", "--list", "bestpatch/*") == ""
        assert github.pulls == []

        second = run("--deliver")
        assert second.returncode == 4, second.stderr
        assert [pull["head"] for pull in github.pulls] == ["bestpatch/issue-7"]
        assert "return a + b" in git(remote, "show", "bestpatch/issue-7:calc.py")
        assert "return a + b" in git(repo, "show", "bestpatch/add:calc.py")

        third = run("--deliver")
        assert f"issue-7: not tried again, there is {github.url}/pull/1" in third.stderr
        assert "add: not tried again, there is branch bestpatch/add" in third.stderr
        assert len(github.pulls) == 1
    assert f"]({github.url}/pull/1)" in summary.read_text()
    kept = [path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert not any(b"the-token" in data for data in [*kept, *(part.stdout.encode() for part in (first, second))])
