"""NVIDIA's driver as this machine has it, whether or not the Python with vLLM can use it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_DEVICES = Path("/dev")


def gpu_there() -> bool:
    """Whether the driver shows a GPU that nobody has hidden from us in CUDA_VISIBLE_DEVICES."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in ("", "-1", "NoDevFiles"):
        return False
    return any(_DEVICES.glob("nvidia[0-9]*")) or _listed()


def _listed() -> bool:
    """Where the device has another name (WSL), `nvidia-smi` lists it."""
    try:
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return False
    return "GPU " in done.stdout
