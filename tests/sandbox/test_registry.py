"""What registries' refusals mean, and what exactly a name stands for."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.registry import Memory, exact_name, read_refusal

# As a Docker engine words them.
PASSING = {
    "toomanyrequests: You have reached your pull rate limit.": "docker login",
    'error parsing HTTP 429 response body: no error details found in HTTP response body: "{}"': "docker login",
    "received unexpected HTTP status: 500 Internal Server Error": "try later",
    "received unexpected HTTP status: 503 Service Unavailable": "try later",
    "read tcp 127.0.0.1:1->127.0.0.1:2: read: connection reset by peer": "try again",
    "unexpected EOF": "try again",
}
LASTING = {
    "manifest for x:1 not found: manifest unknown: manifest unknown": "Check the name",
    "manifest unknown": "Check the name",
    "pull access denied for x, repository does not exist or may require 'docker login': denied:": "docker login",
    "unauthorized: authentication required": "docker login",
    'error parsing HTTP 403 response body: no error details found in HTTP response body: "{}"': "docker login",
    "no matching manifest for linux/amd64 in the manifest list entries": "this machine",
    "manifest verification failed for digest sha256:1": "do not use",
    "filesystem layer verification failed for digest sha256:1": "do not use",
    "image config verification failed for digest sha256:1": "do not use",
    'Get "https://registry-1.docker.io/v2/": dial tcp: lookup registry-1.docker.io: no such host': "network",
    'Get "http://127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused': "network",
    "pulling: the engine did not answer in time": "network",
}


@pytest.mark.parametrize("text", [*PASSING, *LASTING])
def test_refusals(text: str) -> None:
    refusal = read_refusal(text)
    assert refusal.passing is (text in PASSING)
    assert {**PASSING, **LASTING}[text] in refusal.advice


ID = "sha256:" + "a" * 64
DIGEST = "sha256:" + "b" * 64


@pytest.mark.parametrize(
    ("name", "digests", "exact"),
    [
        ("python:3.11", ["python@" + DIGEST], "python@" + DIGEST),
        ("docker.io/library/python:3.11", ["python@" + DIGEST], "python@" + DIGEST),
        ("host:5000/a/b", ["other/b@" + ID, "host:5000/a/b@" + DIGEST], "host:5000/a/b@" + DIGEST),
        ("host:5000/a/b:1@" + DIGEST, ["host:5000/a/b@" + DIGEST], "host:5000/a/b@" + DIGEST),
        ("a/b@" + DIGEST, ["a/b@" + DIGEST], "a/b@" + DIGEST),
        ("bestpatch/python:3.11", None, f"bestpatch/python:3.11 ({ID})"),
        ("mine:1", ["theirs@" + DIGEST], f"mine:1 ({ID})"),
    ],
)
def test_the_exact_name(name: str, digests: list[str] | None, exact: str) -> None:
    assert exact_name({"Id": ID, "RepoDigests": digests}, name) == exact


def test_a_memory_that_cannot_be_written_forgets(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    memory = Memory(tmp_path / "file" / "cache")
    memory.note("x:1", "no such host")
    assert memory.why("x:1") is None
