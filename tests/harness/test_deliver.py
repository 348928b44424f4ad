"""Patches come to a branch or a pull request, once. A bare repository is the remote, GitHub a scripted server."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from harness.deliver import Delivered, Delivery, Destination, deliver, delivered_before, github_of, pull_request
from harness.errors import RemoteError, RepositoryError
from harness.result import Result, Status
from tests.harness.conftest import git
from tests.harness.report_fixture import selected, without_winner
from tests.harness.scripted_github import ScriptedGitHub, serving

BRANCH = "bestpatch/issue-7"


@pytest.fixture
def github(monkeypatch: pytest.MonkeyPatch) -> Generator[ScriptedGitHub]:
    with serving() as server:
        for name, value in server.environ("secret").items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
def remote(repo: Path, tmp_path: Path) -> Path:
    bare = tmp_path / "remote.git"
    git(tmp_path, "init", "-q", "--bare", str(bare))
    git(repo, "remote", "add", "origin", str(bare))
    return bare


def result_of(repo: Path, change: str = "return a + b") -> Result:
    """A result whose patch is for that repository."""
    file = repo / "calc.py"
    before = file.read_text()
    file.write_text(before.replace("return a - b", change))
    patch = git(repo, "diff")
    file.write_text(before)
    chosen = selected()
    base = git(repo, "rev-parse", "HEAD").strip()
    task = chosen.task.model_copy(update={"base_commit": base, "issue": "# add @octo subtracts\n\nmore"})
    return chosen.model_copy(update={"patch": patch, "task": task, "reasons": ("It touches @all/[x](y).py.",)})


def to(repo: Path, kind: Delivery) -> Destination:
    return Destination(kind, repo, BRANCH, "octo/shop", "main", 7)


def test_what_is_only_written_goes_nowhere_else(repo: Path) -> None:
    assert deliver(result_of(repo), to(repo, Delivery.WRITE), dry_run=False) == Delivered("written")
    for status in (Status.ABSTAINED, Status.NO_CANDIDATE):
        done = deliver(without_winner(status), to(repo, Delivery.BRANCH), dry_run=False)
        assert done == Delivered("nothing to deliver")
    assert git(repo, "branch", "--list", "bestpatch/*") == ""


def test_a_branch_is_made_once(repo: Path) -> None:
    where = to(repo, Delivery.BRANCH)
    assert deliver(result_of(repo), where, dry_run=True).text == f"would make the branch {BRANCH}"
    assert delivered_before(where) is None
    assert deliver(result_of(repo), where, dry_run=False).where == f"branch {BRANCH}"
    commit = git(repo, "rev-parse", BRANCH)
    assert "exists already" in deliver(result_of(repo, "return b + a"), where, dry_run=False).text
    assert git(repo, "rev-parse", BRANCH) == commit
    assert delivered_before(where) == f"branch {BRANCH}"
    assert "return a + b" in git(repo, "show", f"{BRANCH}:calc.py")
    assert git(repo, "log", "-1", "--format=%s", BRANCH).strip() == "add @octo subtracts"


def test_a_pull_request_is_opened_once(repo: Path, remote: Path, github: ScriptedGitHub) -> None:
    where = to(repo, Delivery.PULL_REQUEST)
    told = deliver(result_of(repo), where, dry_run=True)
    assert told.text == f"would push {BRANCH} and open 'add @octo subtracts' into octo/shop:main"
    assert (github.pulls, git(remote, "branch", "--list")) == ([], "")
    assert delivered_before(where) is None

    first = deliver(result_of(repo), where, dry_run=False)
    again = deliver(result_of(repo), where, dry_run=False)
    assert first.where == again.where == delivered_before(where) == github.pulls[0]["html_url"]
    assert len(github.pulls) == 1
    assert "return a + b" in git(remote, "show", f"{BRANCH}:calc.py")


def test_a_run_that_was_killed_after_its_push_goes_on(repo: Path, remote: Path, github: ScriptedGitHub) -> None:
    where = to(repo, Delivery.PULL_REQUEST)
    github.failures = [(200, {}, "[]"), (502, {}, "")]
    with pytest.raises(RemoteError, match="try again later"):
        deliver(result_of(repo), where, dry_run=False)
    assert git(remote, "branch", "--list").strip() == BRANCH
    assert deliver(result_of(repo), where, dry_run=False).where == github.pulls[0]["html_url"]


def test_a_push_is_never_forced(repo: Path, remote: Path, github: ScriptedGitHub) -> None:
    other = git(repo, "commit-tree", "-m", "somebody's own", "HEAD^{tree}").strip()
    git(repo, "push", "-q", "origin", f"{other}:refs/heads/{BRANCH}")
    with pytest.raises(RemoteError, match="cannot be pushed"):
        deliver(result_of(repo), to(repo, Delivery.PULL_REQUEST), dry_run=False)
    assert git(remote, "rev-parse", BRANCH).strip() == other
    assert github.pulls == []


def test_no_hook_of_the_repository_runs(repo: Path, remote: Path, github: ScriptedGitHub, tmp_path: Path) -> None:
    hook = repo / ".git" / "hooks" / "pre-push"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    deliver(result_of(repo), to(repo, Delivery.PULL_REQUEST), dry_run=False)
    assert len(github.pulls) == 1
    assert not (tmp_path / "ran").exists()


def test_a_login_in_the_remote_s_address_is_not_told(repo: Path, github: ScriptedGitHub) -> None:
    git(repo, "remote", "add", "origin", "https://me:hunter2@127.0.0.1:1/octo/shop.git")
    with pytest.raises(RemoteError, match="cannot be pushed") as caught:
        deliver(result_of(repo), to(repo, Delivery.PULL_REQUEST), dry_run=False)
    assert "hunter2" not in str(caught.value)


def test_a_pull_request_needs_a_repository_on_github(repo: Path) -> None:
    nowhere = Destination(Delivery.PULL_REQUEST, repo, BRANCH)
    with pytest.raises(RepositoryError, match="OWNER/NAME"):
        deliver(result_of(repo), nowhere, dry_run=True)
    assert delivered_before(nowhere) is None


def test_what_strangers_wrote_notifies_nobody(repo: Path) -> None:
    wanted = pull_request(result_of(repo), to(repo, Delivery.PULL_REQUEST), "octo/shop")
    assert wanted.body.startswith("Proposed for #7 by bestpatch")
    assert "- It touches @\u200ball/\\[x\\](y).py." in wanted.body


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://github.com/octo/shop.git", "octo/shop"),
        ("https://github.com/octo/shop/", "octo/shop"),
        ("git@github.com:octo/my.shop.git", "octo/my.shop"),
        ("ssh://git@github.com/octo/shop", "octo/shop"),
        ("/srv/git/shop.git", None),
        (None, None),
    ],
)
def test_the_name_on_github(address: str | None, name: str | None) -> None:
    assert github_of(address) == name


def test_the_repository_says_where_its_remote_is(repo: Path, remote: Path) -> None:
    from harness.repository import Repository

    with Repository.open(repo) as repository:
        assert repository.remote_address() == str(remote)
        assert repository.remote_address("upstream") is None
    assert git(repo, "status", "--porcelain") == ""
