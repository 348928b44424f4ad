"""What GPUs spend, as a scripted driver tells it."""

from __future__ import annotations

import pytest

from agent.model import meter
from agent.model.meter import Meter, energy


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> dict[str, float | None]:
    """Joules by GPU."""
    told: dict[str, float | None] = {}
    monkeypatch.setattr(meter, "energy", lambda gpu: told.get(gpu))
    return told


def test_time_and_energy_of_all_gpus(driver: dict[str, float | None]) -> None:
    now = iter([100.0, 110.0, 130.0])
    driver |= {"a": 1000.0, "b": 5000.0}
    its = Meter(["a", "b"], clock=lambda: next(now))
    driver |= {"a": 1300.0, "b": 5200.0}
    assert its.read() == meter.GpuUse(20.0, 500.0)
    driver["b"] = 5300.0
    assert its.read() == meter.GpuUse(60.0, 600.0)


def test_energy_that_one_gpu_does_not_tell_is_not_known(driver: dict[str, float | None]) -> None:
    driver |= {"a": 1000.0, "b": None}
    assert Meter(["a", "b"]).read().joules is None


def test_without_a_driver_nothing_is_told() -> None:
    assert energy("GPU-00000000-0000-0000-0000-000000000000") is None
