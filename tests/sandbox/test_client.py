"""The SDK's errors as ours."""

from __future__ import annotations

import socket
from pathlib import Path

import docker.errors
import pytest
import requests
import urllib3.exceptions

from sandbox.client import Refused, archive_of, connect, free_bytes, translated
from sandbox.errors import DiskFull, EngineUnavailable, SandboxLost, SandboxTimeout


def answer(status: int, text: str) -> docker.errors.APIError:
    response = requests.Response()
    response.status_code = status
    return docker.errors.APIError("x", response=response, explanation=text)


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (requests.exceptions.ReadTimeout("x"), SandboxTimeout),
        (requests.exceptions.ConnectTimeout("x"), SandboxTimeout),
        (requests.exceptions.ConnectionError("HTTPConnectionPool: Read timed out."), SandboxTimeout),
        (requests.exceptions.ConnectionError("Connection aborted"), SandboxLost),
        (ConnectionResetError("x"), SandboxLost),
        (urllib3.exceptions.ProtocolError("Connection broken: IncompleteRead(0 bytes read)"), SandboxLost),
        (urllib3.exceptions.ReadTimeoutError(None, None, "Read timed out."), SandboxTimeout),  # type: ignore[arg-type]
        (docker.errors.DockerException("x"), SandboxLost),
        (answer(404, "No such container: abc"), SandboxLost),
        (answer(409, "Container abc is not running"), SandboxLost),
        (answer(500, "write /var/lib: no space left on device"), DiskFull),
        (answer(404, "No such image: abc"), Refused),
        (answer(400, "unknown runtime"), Refused),
    ],
)
def test_errors_are_translated(error: Exception, ours: type[Exception]) -> None:
    with pytest.raises(ours) as caught, translated("doing"):
        raise error
    assert "doing" in str(caught.value)
    assert caught.value.__cause__ is error


def test_no_engine_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match=r"python -m sandbox\.engine"):
        connect(f"unix://{tmp_path}/none.sock", 1.0)
    with pytest.raises(EngineUnavailable):
        connect("nonsense://x", 1.0)


def test_an_engine_that_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(EngineUnavailable):
        connect(f"tcp://127.0.0.1:{server.getsockname()[1]}", 0.3)


def test_free_space_is_known_only_for_folders_of_this_machine(tmp_path: Path) -> None:
    assert (free_bytes(str(tmp_path)) or 0) > 0
    assert free_bytes("/no/such/folder") is None
    assert free_bytes(None) is None


def test_archives_hold_what_they_are_given() -> None:
    import io
    import tarfile

    with tarfile.open(fileobj=io.BytesIO(archive_of({"a": b"x", "b/c": b""}, user=7, mode=0o600))) as tar:
        members = {member.name: (member.size, member.mode, member.uid) for member in tar}
    assert members == {"a": (1, 0o600, 7), "b/c": (0, 0o600, 7)}
