"""What the GPUs of our own servers spend while a command has them: time, and energy where NVIDIA's driver tells it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class GpuUse:
    """GPUs that were held, busy or not. `seconds`: of all of them together; `joules`: None where nobody tells."""

    seconds: float = 0.0
    joules: float | None = None


class Meter:
    """Measures from when it is made."""

    def __init__(self, gpus: Sequence[str], clock: Callable[[], float] = time.monotonic) -> None:
        """`gpus`: their UUIDs, as the driver names them."""
        self._gpus = tuple(gpus)
        self._clock = clock
        self._began = clock()
        self._before = [energy(gpu) for gpu in self._gpus]

    def read(self) -> GpuUse:
        """What was spent so far."""
        seconds = (self._clock() - self._began) * len(self._gpus)
        now = [energy(gpu) for gpu in self._gpus]
        spent = [b - a for a, b in zip(self._before, now, strict=True) if a is not None and b is not None]
        whole = len(spent) == len(self._gpus) > 0
        return GpuUse(seconds, sum(spent) if whole else None)


def energy(gpu: str) -> float | None:
    """Joules of a GPU since its driver was loaded; None where there is no driver, or it does not tell."""
    nvml: Any = import_module("pynvml")  # needed only where there are GPUs
    with suppress(nvml.NVMLError):
        nvml.nvmlInit()
        try:
            return float(nvml.nvmlDeviceGetTotalEnergyConsumption(nvml.nvmlDeviceGetHandleByUUID(gpu))) / 1000
        finally:
            nvml.nvmlShutdown()
    return None
