"""What the embedded model needs, how that comes to be there, and what `bestpatch doctor` is told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from agent.errors import ModelUnavailable
from agent.model import embedded as module
from agent.model.embedded import embedded_status, ensure_embedded


async def test_without_compiler_the_wheel_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def weights(*_: object) -> Path:
        return tmp_path / "w.gguf"

    async def wheel(*_: object) -> Path:
        return tmp_path / "xllamacpp"

    monkeypatch.setattr(module, "fetch_weights", weights)
    monkeypatch.setattr(module, "install_wheel", wheel)
    monkeypatch.setattr(module, "compiler", lambda: None)
    launch = await ensure_embedded(tmp_path)
    assert launch.name == "xllamacpp"


async def test_a_failed_build_falls_back_to_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def weights(*_: object) -> Path:
        return tmp_path / "w.gguf"

    async def wheel(*_: object) -> Path:
        return tmp_path / "xllamacpp"

    async def build(*_: object) -> Path:
        raise ModelUnavailable("cmake is too old")

    monkeypatch.setattr(module, "fetch_weights", weights)
    monkeypatch.setattr(module, "install_wheel", wheel)
    monkeypatch.setattr(module, "build_engine", build)
    monkeypatch.setattr(module, "compiler", lambda: "c++")
    said: list[str] = []
    assert (await ensure_embedded(tmp_path, said.append)).name == "xllamacpp"
    assert "cmake is too old" in said[0]


def test_what_is_missing_comes_with_a_mend(tmp_path: Path) -> None:
    status = embedded_status(tmp_path)
    assert [ready for _, ready, _ in status] == [False, False]
    assert all("agent.model.embedded --prepare" in mend for _, _, mend in status)


def test_the_module_as_a_command_says_what_is_missing(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "agent.model.embedded", "--cache", str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout.count("missing") == 2
