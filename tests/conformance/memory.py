"""The memory of the process that drives a sandbox, which must not grow with what is executed."""

from __future__ import annotations

import sys
from pathlib import Path


def resident() -> int:
    """This process' resident memory in bytes."""
    if sys.platform != "linux":
        return 0
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
