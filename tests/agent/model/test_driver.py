"""Whether the machine has a GPU of NVIDIA's, whatever the Python with vLLM sees."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.model import driver


@pytest.fixture(autouse=True)
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without devices and programs."""
    (tmp_path / "dev").mkdir()
    monkeypatch.setattr(driver, "_DEVICES", tmp_path / "dev")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def smi(tmp_path: Path, program: str) -> None:
    (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{program}\n")
    (tmp_path / "nvidia-smi").chmod(0o755)


def test_no_driver(tmp_path: Path) -> None:
    assert not driver.gpu_there()
    smi(tmp_path, "echo No devices were found")
    assert not driver.gpu_there()
    smi(tmp_path, "exit 9")
    assert not driver.gpu_there()


@pytest.mark.parametrize("device", ["nvidia0", "nvidia3"])
def test_a_device(tmp_path: Path, device: str) -> None:
    (tmp_path / "dev/nvidiactl").touch()
    assert not driver.gpu_there()
    (tmp_path / "dev" / device).touch()
    assert driver.gpu_there()


def test_one_that_only_the_driver_lists(tmp_path: Path) -> None:
    smi(tmp_path, "echo 'GPU 0: NVIDIA H100 (UUID: GPU-1)'")
    assert driver.gpu_there()


@pytest.mark.parametrize("value", ["", "-1"])
def test_one_that_is_hidden_on_purpose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    (tmp_path / "dev/nvidia0").touch()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert not driver.gpu_there()
