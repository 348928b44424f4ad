"""Issues are read and pull requests opened once, through a scripted server."""

from __future__ import annotations

from collections.abc import Generator

import pytest
import stamina
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import IssueError, RemoteError
from harness.github import GitHub, IssueAddress, PullRequest
from tests.harness.scripted_github import ScriptedGitHub, serving

ADDRESS = IssueAddress("octo", "shop", 7)
WANTED = PullRequest("octo/shop", "bestpatch/issue-7", "main", "Fix the basket", "Chosen from 8.")


@pytest.fixture
def server() -> Generator[ScriptedGitHub]:
    with serving() as server, stamina.set_testing(True, attempts=3, cap=True):
        yield server


def test_an_address() -> None:
    assert IssueAddress.parse("https://github.com/octo/shop/issues/7", {}) == ADDRESS
    assert IssueAddress.parse(" https://github.com/octo/shop/issues/7/#issuecomment-1 ", {}) == ADDRESS
    enterprise = {"GITHUB_SERVER_URL": "https://git.example.org"}
    assert IssueAddress.parse("https://git.example.org/octo/shop/issues/7", enterprise) == ADDRESS


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("https://github.com/octo/shop/pull/7", "is a pull request"),
        ("https://github.com/octo/shop", "OWNER/NAME/issues/NUMBER"),
        ("https://github.com/octo/../issues/7", "OWNER/NAME/issues/NUMBER"),
        ("https://git.example.org/octo/shop/issues/7", "can be given as a file"),
        ("https://github.com.example.org/octo/shop/issues/7", "can be given as a file"),
    ],
)
def test_what_is_no_address(url: str, says: str) -> None:
    with pytest.raises(IssueError, match=says):
        IssueAddress.parse(url, {})


@given(st.text(max_size=40))
def test_any_path_is_an_address_or_refused(path: str) -> None:
    try:
        found = IssueAddress.parse(f"https://github.com/{path}", {})
    except (IssueError, ValueError):
        return
    assert f"{found.repository}/issues/" in path


def test_an_issue_is_its_title_and_description(server: ScriptedGitHub) -> None:
    server.issues["octo/shop/7"] = {"title": "The basket is empty", "body": "Add two apples."}
    server.issues["octo/shop/8"] = {"title": "Only a title", "body": None}
    server.issues["octo/shop/9"] = {"title": "x", "pull_request": {}}
    with GitHub(server.environ()) as github:
        assert github.issue(ADDRESS) == "The basket is empty\n\nAdd two apples."
        assert github.issue(IssueAddress("octo", "shop", 8)) == "Only a title"
        with pytest.raises(IssueError, match="is a pull request"):
            github.issue(IssueAddress("octo", "shop", 9))
        with pytest.raises(IssueError, match="needs GITHUB_TOKEN"):
            github.issue(IssueAddress("octo", "shop", 10))
    assert {asked.token for asked in server.asked} == {None}


def test_a_server_that_recovers_is_asked_again(server: ScriptedGitHub) -> None:
    server.issues["octo/shop/7"] = {"title": "x"}
    server.failures = [(502, {}, "bad gateway")] * 2
    with GitHub(server.environ("secret")) as github:
        assert github.issue(ADDRESS) == "x"
    assert [asked.token for asked in server.asked] == ["Bearer secret"] * 3


@pytest.mark.parametrize(
    ("status", "headers", "body", "says"),
    [
        (401, {}, "{}", "renew GITHUB_TOKEN"),
        (403, {}, "{}", "contents: write"),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "0"}, "{}", "until 00:00 UTC"),
        (429, {}, "{}", "rate limit"),
        (422, {}, '{"message": "no", "errors": [{"message": "no commits"}]}', "no; no commits"),
        (200, {}, "<html>", "is GITHUB_API_URL right"),
        (503, {}, "down", "try again later"),
    ],
)
def test_what_the_server_refuses_says_what_to_do(
    server: ScriptedGitHub, status: int, headers: dict[str, str], body: str, says: str
) -> None:
    server.failures = [(status, headers, body)] * 3
    with GitHub(server.environ("secret")) as github, pytest.raises(RemoteError, match=says) as caught:
        github.issue(ADDRESS)
    assert "secret" not in str(caught.value)


def test_a_token_stays_with_its_server(server: ScriptedGitHub) -> None:
    with serving() as other:
        other.issues["octo/shop/7"] = {"title": "elsewhere"}
        server.failures = [(301, {"Location": f"{other.url}/repos/octo/shop/issues/7"}, "")]
        with GitHub(server.environ("secret")) as github:
            assert github.issue(ADDRESS) == "elsewhere"
        assert [asked.token for asked in other.asked] == [None]


@pytest.mark.parametrize("drafts", [True, False])
def test_a_pull_request_is_found_again(server: ScriptedGitHub, drafts: bool) -> None:
    server.drafts = drafts
    with GitHub(server.environ("secret")) as github:
        assert github.pull_request_of("octo/shop", WANTED.head) is None
        url = github.open_pull_request(WANTED)
        assert github.pull_request_of("octo/shop", WANTED.head) == url
    assert len(server.pulls) == 1
    assert (server.pulls[0]["head"], server.pulls[0]["base"]) == ("bestpatch/issue-7", "main")
    assert server.pulls[0].get("draft", False) is drafts


def test_a_pull_request_is_asked_for_once_and_only_with_a_token(server: ScriptedGitHub) -> None:
    with GitHub(server.environ()) as github, pytest.raises(RemoteError, match="needs a token"):
        github.open_pull_request(WANTED)
    server.failures = [(502, {}, "")] * 3
    with GitHub(server.environ("secret")) as github, pytest.raises(RemoteError, match="try again later"):
        github.open_pull_request(WANTED)
    assert len(server.asked) == 1
