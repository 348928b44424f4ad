"""Which backend a machine gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.backends import backend_name, choose_backend
from sandbox.bubblewrap import BubblewrapBackend
from sandbox.docker import DockerBackend
from sandbox.errors import EngineUnavailable
from sandbox.settings import BubblewrapSettings, DockerSettings
from sandbox.walls import why_not


@pytest.fixture
def nowhere(tmp_path: Path) -> DockerSettings:
    return DockerSettings(url=f"unix://{tmp_path}/none.sock")


def test_a_name_is_heeded_whatever_answers(nowhere: DockerSettings) -> None:
    assert isinstance(choose_backend("docker", nowhere, BubblewrapSettings()), DockerBackend)
    assert isinstance(choose_backend("bubblewrap", nowhere, BubblewrapSettings()), BubblewrapBackend)


@pytest.mark.docker
def test_docker_comes_first_where_it_answers() -> None:
    assert backend_name("auto", DockerSettings()) == "docker"


@pytest.mark.bubblewrap
@pytest.mark.skipif(why_not() is not None, reason="no user namespaces, or no bwrap")
def test_bubblewrap_stands_in_for_an_engine(nowhere: DockerSettings) -> None:
    assert backend_name("auto", nowhere) == "bubblewrap"


def test_where_there_is_neither_both_are_told(
    nowhere: DockerSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineUnavailable, match=r"(?s)no Docker engine answers.*bwrap is not installed"):
        backend_name("auto", nowhere)
