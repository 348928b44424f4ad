"""`bestpatch doctor`: what it finds, what it says, what it mends."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

import harness.commands.doctor as doctor
from harness import Settings
from harness.commands.doctor import Check, doctor_command
from harness.commands.exit import Exit
from sandbox.errors import EngineUnavailable
from sandbox.walls import why_not
from tests.agent.model.standin_vllm import make


@pytest.fixture
def calm(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Check]]:
    """All checks pass, without asking anybody; a test may change one."""
    found = {name: [Check(name, "ok", "fine")] for name in ("git", "engine", "disk", "registries", "gpu", "model")}
    for name in found:
        monkeypatch.setattr(doctor, f"_{name}", lambda _, name=name: found[name])
    return found


def test_all_is_well(calm: dict[str, list[Check]], capsys: pytest.CaptureFixture[str]) -> None:
    doctor_command(Settings(), mend=False, as_json=False)
    out = capsys.readouterr().out
    assert out.count("ok ") == 6
    assert "mend" not in out


def test_a_note_is_no_failure_and_a_lack_is(calm: dict[str, list[Check]], capsys: pytest.CaptureFixture[str]) -> None:
    calm["gpu"] = [Check("GPU", "note", "none", "buy one")]
    doctor_command(Settings(), mend=False, as_json=False)
    assert "mend: buy one" in capsys.readouterr().out
    calm["engine"] = [Check("engine", "missing", "no answer", "start it")]
    with pytest.raises(Exit) as ended:
        doctor_command(Settings(), mend=False, as_json=False)
    captured = capsys.readouterr()
    assert ended.value.code == 4
    assert "mend: start it" in captured.out
    assert "doctor --mend" in captured.err


def test_json(calm: dict[str, list[Check]], capsys: pytest.CaptureFixture[str]) -> None:
    doctor_command(Settings(), mend=False, as_json=True)
    assert [entry["state"] for entry in json.loads(capsys.readouterr().out)] == ["ok"] * 6


def test_no_engine_is_found_missing(monkeypatch: pytest.MonkeyPatch, free_port: int) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{free_port}")
    settings = Settings.model_validate({"sandbox": {"backend": "docker"}})
    (check,) = doctor._engine(settings)  # pyright: ignore[reportPrivateUsage]
    assert check.state == "missing"
    assert "--mend" in check.mend


def test_no_git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (check,) = doctor._git(Settings())  # pyright: ignore[reportPrivateUsage]
    assert (check.state, "install git" in check.mend) == ("missing", True)


def test_too_little_disk() -> None:
    settings = Settings.model_validate({"sandbox": {"free_disk_bytes": "1000t"}})
    checks = doctor._disk(settings)  # pyright: ignore[reportPrivateUsage]
    assert {check.state for check in checks} == {"missing"}
    assert all("free" in check.detail for check in checks)


def test_an_endpoint_that_is_not_there(free_port: int) -> None:
    settings = Settings(model=f"openai:m@http://127.0.0.1:{free_port}/v1")
    (check,) = doctor._model(settings)  # pyright: ignore[reportPrivateUsage]
    assert check.state == "missing"
    assert str(free_port) in check.detail


@pytest.mark.parametrize(
    ("gpus", "there", "state", "part"),
    [
        (1, True, "ok", "vllm 0.24.0 on 1 GPU"),
        (0, True, "missing", "too old"),
        (0, False, "note", "on the CPU"),
    ],
)
def test_a_server_of_ours_needs_a_gpu_that_vllm_sees(
    gpus: int, there: bool, state: str, part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BESTPATCH_VLLM_PYTHON", str(make(tmp_path / "v", gpus)))
    monkeypatch.setattr("agent.model.vllm.gpu_there", lambda: there)
    (check,) = doctor._model(Settings(model="vllm:some/model"))  # pyright: ignore[reportPrivateUsage]
    assert check.state == state
    assert part in check.detail


def test_a_server_of_ours_needs_vllm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BESTPATCH_VLLM_PYTHON", str(tmp_path / "none"))
    (check,) = doctor._model(Settings(model="vllm:some/model"))  # pyright: ignore[reportPrivateUsage]
    assert check.state == "missing"
    assert "BESTPATCH_VLLM_PYTHON" in check.detail


def test_a_gpu_whose_driver_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(doctor, "gpu_there", lambda: True)
    (check,) = doctor._gpu(Settings())  # pyright: ignore[reportPrivateUsage]
    assert "nvidia-smi does not answer" in check.detail


def test_the_embedded_model_in_an_empty_cache() -> None:
    checks = doctor._model(Settings(model="embedded:0.5b"))  # pyright: ignore[reportPrivateUsage]
    assert [check.state for check in checks] == ["missing", "missing"]
    assert all("doctor --mend" in check.mend for check in checks)
    assert "0.5b" in checks[0].detail


def test_an_index_with_a_password_is_shown_without(monkeypatch: pytest.MonkeyPatch, free_port: int) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", f"http://me:hunter2@127.0.0.1:{free_port}/simple")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    for variable in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(doctor, "PATIENCE", 0.5)
    checks = doctor._registries(Settings())  # pyright: ignore[reportPrivateUsage]
    assert "hunter2" not in repr(checks)
    assert checks[0].state == "note"


def test_mend_goes_on_after_a_failure(
    calm: dict[str, list[Check]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done: list[str] = []

    def no_engine(say: Any) -> None:
        raise EngineUnavailable("cannot be installed here")

    async def embedded(cache: Path, say: Any, size: str) -> None:
        done.append(size)

    monkeypatch.setattr("sandbox.engine.ensure_engine", no_engine)
    monkeypatch.setattr(sys.modules["harness.commands.doctor"], "ensure_embedded", embedded)
    doctor_command(Settings(model="embedded:0.5b"), mend=True, as_json=False)
    assert done == ["0.5b"]
    assert "cannot be installed here" in capsys.readouterr().err
    # With a model elsewhere nothing is fetched.
    doctor_command(Settings(model="openai:m@http://localhost:1/v1"), mend=True, as_json=False)
    assert done == ["0.5b"]


def test_without_bwrap_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    settings = Settings.model_validate({"sandbox": {"backend": "bubblewrap"}})
    (check,) = doctor._engine(settings)  # pyright: ignore[reportPrivateUsage]
    assert (check.name, check.state) == ("bubblewrap", "missing")
    assert "apt-get install bubblewrap" in check.detail


@pytest.mark.bubblewrap
@pytest.mark.skipif(why_not() is not None, reason="no user namespaces, or no bwrap")
@pytest.mark.parametrize("backend", ["auto", "bubblewrap"])
def test_bubblewrap_makes_up_for_an_engine(monkeypatch: pytest.MonkeyPatch, free_port: int, backend: str) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{free_port}")
    settings = Settings.model_validate({"sandbox": {"backend": backend}})
    checks = {check.name: check for check in doctor._engine(settings)}  # pyright: ignore[reportPrivateUsage]
    assert checks["engine"].state == "ok"
    assert checks["engine"].detail.startswith("bubblewrap")
    assert ("no Docker engine" in checks["engine"].detail) == (backend == "auto")
    assert "missing" not in {check.state for check in checks.values()}


@pytest.mark.docker
def test_an_engine_that_answers(capsys: pytest.CaptureFixture[str]) -> None:
    checks = doctor._engine(Settings())  # pyright: ignore[reportPrivateUsage]
    assert checks[0].state == "ok"
    assert "Docker" in checks[0].detail
