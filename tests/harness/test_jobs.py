"""Jobs files: what is read from them, what is refused, and which issues they come to."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.deliver import Delivery
from harness.errors import JobsError
from harness.jobs import Unread, expanded, read_jobs
from tests.harness.conftest import git
from tests.harness.scripted_github import ScriptedGitHub, serving


@pytest.fixture
def github(monkeypatch: pytest.MonkeyPatch) -> Generator[ScriptedGitHub]:
    with serving() as server:
        for name, value in server.environ("secret").items():
            monkeypatch.setenv(name, value)
        yield server


def written(folder: Path, text: str) -> Path:
    path = folder / "jobs.toml"
    path.write_text(text)
    return path


def test_defaults_hold_where_a_job_does_not_say(tmp_path: Path) -> None:
    text = """
        [defaults]
        result = "branch"
        min_confidence = 0.6
        budget = "tokens=300k,wall=30m"
        [[jobs]]
        issue = "a.md"
        [[jobs]]
        issue = "b.md"
        result = "write"
        candidates = 4
    """
    first, second = read_jobs(written(tmp_path, text))
    assert (first.result, second.result) == (Delivery.BRANCH, Delivery.WRITE)
    assert (first.min_confidence, second.min_confidence) == (0.6, 0.6)
    assert first.budget is not None
    assert (first.budget.tokens, first.budget.wall_seconds) == (300_000, 1800.0)
    assert (first.candidates, second.candidates) == (None, 4)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", r"has no \[\[jobs\]\]"),
        ("jobs = []", r"has no \[\[jobs\]\]"),
        ("jobs = [1]", "job 1: is no table"),
        ("[job]\nissue = 'a'", "does not know job"),
        ("[[jobs]]\nresult = 'branch'", "job 1: a job names an `issue` or a `label`"),
        ("[[jobs]]\nissue = 'a'\nlabel = 'b'", "one of them"),
        ("[[jobs]]\nissue = 'a'\n[[jobs]]\nisue = 'a'", "job 2: .*isue: Extra inputs"),
        ("[[jobs]]\nissue = 'a'\nresult = 'merge'", "result: .*'pull-request'"),
        ("[[jobs]]\nissue = 'a'\nbudget = 'tokens=lots'", "budget.tokens"),
        ("[[jobs]]\nissue = 'a'\nbudget = 'coffee=3'", "budget: cannot read 'coffee=3'"),
        ("[[jobs]]\nissue = 'a'\nid = '../x'", "id: "),
        ("[[jobs]]\nlabel = 'a'\nbranch = 'x'", "a branch of its own"),
        ("[[jobs", "cannot be read as TOML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(JobsError, match=says):
        read_jobs(written(tmp_path, text))


def test_a_file_that_is_not_there_or_too_large(tmp_path: Path) -> None:
    with pytest.raises(JobsError, match="cannot be read"):
        read_jobs(tmp_path / "none.toml")
    with pytest.raises(JobsError, match="more than 1 MB"):
        read_jobs(written(tmp_path, "# " + "x" * 1024**2))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.dictionaries(st.sampled_from(["issue", "label", "id", "most", "base", "x"]), st.text("ab/.-", max_size=8)))
def test_any_job_is_read_or_refused_with_its_number(tmp_path: Path, table: dict[str, str]) -> None:
    text = "[[jobs]]\n" + "".join(f"{key} = '{value}'\n" for key, value in table.items())
    refused, entry = "", None
    try:
        entry = read_jobs(written(tmp_path, text))[0]
    except JobsError as error:
        refused = str(error)
    assert entry is not None or "job 1: " in refused
    assert entry is None or (entry.issue is None) != (entry.label is None)


def test_issues_are_files_beside_it_or_on_github(repo: Path, tmp_path: Path, github: ScriptedGitHub) -> None:
    git(repo, "remote", "add", "origin", "git@github.com:octo/shop.git")
    (tmp_path / "The login.md").write_text("It fails.")
    github.issues["octo/shop/7"] = {"number": 7, "title": "The basket", "body": "is empty"}
    text = """
        [defaults]
        repository = "repo"
        result = "pull-request"
        [[jobs]]
        issue = "The login.md"
        [[jobs]]
        issue = "https://github.com/octo/shop/issues/7"
        target = "next"
    """
    jobs, unread = expanded(read_jobs(written(tmp_path, text)), tmp_path)
    assert unread == []
    login, basket = jobs
    assert (login.id, login.issue, login.to.branch) == ("The-login", "It fails.", "bestpatch/The-login")
    assert (login.to.github, login.to.target, login.to.issue) == ("octo/shop", "main", None)
    assert (basket.id, basket.issue) == ("issue-7", "The basket\n\nis empty")
    assert (basket.to.github, basket.to.target, basket.to.issue) == ("octo/shop", "next", 7)
    assert basket.to.repository == repo


def test_a_label_is_all_its_open_issues(repo: Path, tmp_path: Path, github: ScriptedGitHub) -> None:
    for number in (3, 5, 8, 9):
        github.issues[f"octo/shop/{number}"] = {"number": number, "title": f"Issue {number}", "labels": ["nightly"]}
    github.issues["octo/shop/5"]["pull_request"] = {}
    github.issues["octo/shop/6"] = {"number": 6, "title": "without the label"}
    text = '[[jobs]]\nlabel = "nightly"\ngithub = "octo/shop"\nrepository = "repo"\nmost = 2'
    jobs, unread = expanded(read_jobs(written(tmp_path, text)), tmp_path)
    assert ([job.id for job in jobs], unread) == (["issue-3", "issue-8"], [])
    assert [job.to.issue for job in jobs] == [3, 8]


def test_one_that_cannot_be_read_does_not_stop_the_others(repo: Path, tmp_path: Path, github: ScriptedGitHub) -> None:
    (tmp_path / "good.md").write_text("It fails.")
    (tmp_path / "empty.md").write_text(" ")
    (tmp_path / "log.md").write_bytes(b"x" * (1024**2 + 1))
    github.failures = [(401, {}, "")]
    issues = ["none.md", "empty.md", "log.md", "https://github.com/octo/shop/issues/1", "good.md"]
    text = "[defaults]\nrepository = 'repo'\n" + "".join(f"[[jobs]]\nissue = '{issue}'\n" for issue in issues)
    text += "[[jobs]]\nissue = 'good.md'\nid = 'elsewhere'\nrepository = 'nowhere'\n"
    jobs, unread = expanded(read_jobs(written(tmp_path, text)), tmp_path)
    assert [job.id for job in jobs] == ["good"]
    words = ["No such file", "the issue is empty", "more than 1 MB", "renew GITHUB_TOKEN", "no such path"]
    assert [word in one.why for word, one in zip(words, unread, strict=True)] == [True] * 5
    assert isinstance(unread[0], Unread)
    assert [one.id for one in unread] == ["job-1", "job-2", "job-3", "job-4", "elsewhere"]


def test_two_jobs_of_one_id_are_refused(repo: Path, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("It fails.")
    text = "[defaults]\nrepository = 'repo'\n" + "[[jobs]]\nissue = 'a.md'\n" * 2
    with pytest.raises(JobsError, match="a: named by more than one job"):
        expanded(read_jobs(written(tmp_path, text)), tmp_path)
