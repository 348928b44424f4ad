"""`bestpatch serve`: what it prints is all that other commands need."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from agent.model.client import Patience
from agent.model.process import Launch, Server
from agent.model.profile import profile_for
from agent.model.start import Started
from harness.commands.serve import _tell  # pyright: ignore[reportPrivateUsage]
from harness.load import load

NAME = "Qwen/Qwen2.5-Coder-7B-Instruct"


@pytest.fixture
def ready(tmp_path: Path) -> Started:
    """Two servers that nobody has started."""
    servers = tuple(
        Server(Launch("vllm", lambda _: [], port=port), tmp_path / "log", lambda _: None) for port in (8000, 8001)
    )
    profile = profile_for(NAME, {"parallel": 192})
    return Started(NAME, profile, Patience(), "the-key", 1, servers)


def test_what_is_printed_sets_up_another_terminal(
    ready: Started, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _tell(ready, new_key=True, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith("export ") for line in lines)
    for line in lines:
        (assignment,) = shlex.split(line)[1:]
        monkeypatch.setenv(*assignment.split("=", 1))
    settings = load()
    assert settings.model == f"openai:{NAME}@http://127.0.0.1:8000/v1,http://127.0.0.1:8001/v1"
    assert settings.profile.parallel == 192, "of each server, as it was planned"
    assert "export BESTPATCH_API_KEY=the-key" in lines


def test_a_key_that_is_known_is_not_told(ready: Started, capsys: pytest.CaptureFixture[str]) -> None:
    _tell(ready, new_key=False, as_json=False)
    assert "the-key" not in capsys.readouterr().out


def test_json(ready: Started, capsys: pytest.CaptureFixture[str]) -> None:
    _tell(ready, new_key=True, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["parallel"] == 192
    assert told["key"] == "the-key"
