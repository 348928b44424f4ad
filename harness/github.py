"""GitHub's REST API: reads an issue, opens a pull request once.

Which server is trusted with the token is said by the environment alone (`GITHUB_SERVER_URL`, `GITHUB_API_URL`, as in
Actions; github.com otherwise): an address in a jobs file or a repository cannot make it go elsewhere.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, cast
from urllib.parse import urlsplit

import httpx
import stamina

from harness.errors import IssueError, RemoteError

SERVER, API = "https://github.com", "https://api.github.com"
TOKENS = ("GITHUB_TOKEN", "GH_TOKEN")
_SECONDS = 20.0
_TRIES = 3
_ANSWER_CAP = 8 * 1024**2


@dataclass(frozen=True)
class IssueAddress:
    """Where an issue is: https://SERVER/OWNER/NAME/issues/NUMBER."""

    owner: str
    name: str
    number: int

    @property
    def repository(self) -> str:
        return f"{self.owner}/{self.name}"

    @classmethod
    def parse(cls, url: str, environ: Mapping[str, str] = os.environ) -> IssueAddress:
        """Raises IssueError, which says what an address looks like."""
        server = environ.get("GITHUB_SERVER_URL") or SERVER
        parts = urlsplit(url.strip())
        if parts.hostname != urlsplit(server).hostname:
            raise IssueError(
                f"{url}: issues are read from {server}; GITHUB_SERVER_URL and GITHUB_API_URL name another server, "
                "and text from elsewhere can be given as a file"
            )
        found = re.fullmatch(r"/([\w.-]+)/([\w.-]+)/(issues|pull)/(\d{1,18})/?", parts.path, re.ASCII)
        if found is None or {".", ".."} & {found[1], found[2]}:
            raise IssueError(f"{url}: is no issue; an address is {server}/OWNER/NAME/issues/NUMBER")
        if found[3] == "pull":
            raise IssueError(f"{url}: is a pull request; name the issue that it is to solve")
        return cls(found[1], found[2], int(found[4]))


@dataclass(frozen=True)
class PullRequest:
    """What is asked for: the branch `head` (pushed already) into `base`."""

    repository: str
    head: str
    base: str
    title: str
    body: str


class GitHub:
    """A connection. Every method blocks, and raises RemoteError with what to do about it."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._token = next((environ[name] for name in TOKENS if environ.get(name)), None)
        headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        # Redirects (a repository that was renamed) are followed; the library drops the token when one leaves the host.
        self._client = httpx.Client(
            base_url=environ.get("GITHUB_API_URL") or API, headers=headers, timeout=_SECONDS, follow_redirects=True
        )

    def __enter__(self) -> GitHub:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def issue(self, address: IssueAddress) -> str:
        """Title and description, untrusted. Raises IssueError when there is no such issue, or it is a pull request."""
        answer = self._ask("GET", f"/repos/{address.repository}/issues/{address.number}")
        if answer.status_code in (404, 410):
            hint = "" if self._token else "; a private repository needs GITHUB_TOKEN"
            raise IssueError(f"{address.repository} has no issue {address.number} that can be read{hint}")
        table = _table(self._good(answer, "the issue cannot be read"))
        if "pull_request" in table:
            raise IssueError(
                f"{address.repository}#{address.number} is a pull request; name the issue that it is to solve"
            )
        return _text(table)

    def open_issues(self, repository: str, label: str, most: int) -> list[tuple[IssueAddress, str]]:
        """The open issues with a label, oldest first: where each is, and its text, untrusted. At most 100."""
        query = {"labels": label, "state": "open", "sort": "created", "direction": "asc", "per_page": "100"}
        answer = self._good(self._ask("GET", f"/repos/{repository}/issues", params=query), "issues cannot be read")
        owner, name = repository.split("/")
        tables = [_table_of(each) for each in cast("list[object]", answer.json())]
        issues = [table for table in tables if "pull_request" not in table]
        return [(IssueAddress(owner, name, cast(int, table["number"])), _text(table)) for table in issues[:most]]

    def pull_request_of(self, repository: str, head: str) -> str | None:
        """The address of a pull request, open or closed, from this branch of the repository itself."""
        query = {"head": f"{repository.split('/')[0]}:{head}", "state": "all", "per_page": "1"}
        answer = self._good(
            self._ask("GET", f"/repos/{repository}/pulls", params=query), "pull requests cannot be read"
        )
        found = cast("list[object]", answer.json())
        return str(_table_of(found[0]).get("html_url")) if found else None

    def open_pull_request(self, wanted: PullRequest) -> str:
        """Open a pull request as a draft where the repository has drafts; gives its address."""
        if self._token is None:
            raise RemoteError("a pull request needs a token; set GITHUB_TOKEN with contents and pull-requests: write")
        asked = {"title": wanted.title, "head": wanted.head, "base": wanted.base, "body": wanted.body}
        path = f"/repos/{wanted.repository}/pulls"
        # Not asked again when an answer is lost: it may have been opened, and the next run finds it.
        answer = self._ask("POST", path, json={**asked, "draft": True}, tries=1)
        if answer.status_code == 422 and "draft" in answer.text.lower():
            answer = self._ask("POST", path, json=asked, tries=1)
        return str(_table(self._good(answer, "the pull request cannot be opened")).get("html_url"))

    def _ask(self, method: str, path: str, *, tries: int = _TRIES, **more: Any) -> httpx.Response:
        persistent = stamina.RetryingCaller(attempts=tries, wait_initial=0.5, wait_max=5.0)
        try:
            return persistent(_passing, self._once, method, path, **more)
        except httpx.HTTPError as error:
            raise RemoteError(f"{self._client.base_url.host} does not answer: {error}; try again later") from error

    def _once(self, method: str, path: str, **more: Any) -> httpx.Response:
        answer = self._client.request(method, path, **more)
        if answer.status_code >= 500:
            answer.raise_for_status()
        return answer

    def _good(self, answer: httpx.Response, what: str) -> httpx.Response:
        if answer.is_success and len(answer.content) <= _ANSWER_CAP:
            return answer
        raise RemoteError(f"{what}: {self._why(answer)}")

    def _why(self, answer: httpx.Response) -> str:
        if answer.headers.get("x-ratelimit-remaining") == "0" or answer.status_code == 429:
            reset = str(answer.headers.get("x-ratelimit-reset") or "")
            when = f" until {datetime.fromtimestamp(int(reset), UTC):%H:%M} UTC" if reset.isdigit() else ""
            hint = "" if self._token else "; GITHUB_TOKEN raises it"
            return f"the server's rate limit is reached{when}{hint}"
        if answer.status_code == 401:
            return "the token is not valid; renew GITHUB_TOKEN"
        if answer.status_code in (403, 404):
            return "no such repository, or not for this token; it needs contents: write and pull-requests: write"
        return f"the server answered {answer.status_code}: {_message(answer)}"


def _passing(error: Exception) -> bool:
    """What may be gone at the next try."""
    status = error.response.status_code if isinstance(error, httpx.HTTPStatusError) else 500
    return isinstance(error, httpx.HTTPError) and status >= 500


def _text(issue: Mapping[str, object]) -> str:
    return f"{issue.get('title') or ''}\n\n{issue.get('body') or ''}".strip()


def _message(answer: httpx.Response) -> str:
    try:
        table = _table(answer)
    except RemoteError:
        return answer.text[:200]
    errors = table.get("errors")
    details = (
        [str(_table_of(each).get("message") or each) for each in cast("list[object]", errors)]
        if isinstance(errors, list)
        else []
    )
    return "; ".join([str(table.get("message")), *details])[:500]


def _table(answer: httpx.Response) -> Mapping[str, object]:
    try:
        return _table_of(answer.json())
    except ValueError:
        raise RemoteError(f"{answer.url.host} gave no JSON; is GITHUB_API_URL right?") from None


def _table_of(value: object) -> Mapping[str, object]:
    return cast("Mapping[str, object]", value) if isinstance(value, Mapping) else {}
