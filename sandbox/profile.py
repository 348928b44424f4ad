"""What a container may do and what it sees: the default sandbox profile, and the labels it is found by."""

from __future__ import annotations

import os
import posixpath
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import docker.types

from sandbox.base import Limits
from sandbox.settings import DockerSettings

RUN, SANDBOX, OWNER, STARTED, HOST = (f"bestpatch.{name}" for name in ("run", "sandbox", "owner", "started", "host"))
HOME = "/home/bestpatch"


def host_config(limits: Limits, settings: DockerSettings, cpus: float) -> dict[str, Any]:
    """Keyword arguments of the SDK's `create_host_config`. `cpus` is what the engine's machine has."""
    return {
        "network_mode": "none",
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "pids_limit": limits.processes,
        "mem_limit": limits.memory_bytes,
        "memswap_limit": limits.memory_bytes,
        "nano_cpus": _nano_cpus(limits, cpus),
        "ulimits": [
            docker.types.Ulimit(name="core", soft=0, hard=0),
            docker.types.Ulimit(name="nofile", soft=settings.open_files, hard=settings.open_files),
        ],
        "init": True,
        "ipc_mode": "private",
        # The output is read while it is written; the engine must not keep a second copy on its disk.
        "log_config": {"Type": "none"},
        **({"runtime": settings.runtime} if settings.runtime else {}),
    }


def update_body(limits: Limits, cpus: float) -> dict[str, Any]:
    """The engine's request to change a container to these limits. The file size is set by the command's shell."""
    return {
        "Memory": limits.memory_bytes,
        "MemorySwap": limits.memory_bytes,
        "NanoCpus": _nano_cpus(limits, cpus),
        "PidsLimit": limits.processes,
    }


def _nano_cpus(limits: Limits, cpus: float) -> int:
    # The engine refuses more CPUs than there are.
    return int(min(limits.cpus, cpus) * 1e9)


def environment(path: str, python: str) -> dict[str, str]:
    """The environment variables of every execution: the same on every machine, and a home to write to."""
    folder = posixpath.dirname(python)
    first = [] if folder in path.split(":") else [folder]
    return {
        "PATH": ":".join([*first, path]),
        "HOME": HOME,
        "TZ": "UTC",
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        # Without it, what was printed before a kill would still sit in the dead process' buffer.
        "PYTHONUNBUFFERED": "1",
    }


def labels(run_id: str, sandbox: str) -> dict[str, str]:
    """Whose container it is."""
    pid = os.getpid()
    return {
        RUN: run_id,
        SANDBOX: sandbox,
        OWNER: str(pid),
        STARTED: process_start(pid) or "",
        HOST: socket.gethostname(),
    }


def abandoned(found: Mapping[str, str]) -> bool:
    """True when these labels are of a process of this machine that is no more."""
    pid = found.get(OWNER, "")
    if found.get(HOST) != socket.gethostname() or not pid.isdigit():
        return False
    # A process id is used again in time; together with the start it is not.
    return process_start(int(pid)) != (found.get(STARTED) or None)


def process_start(pid: int) -> str | None:
    """When a process of this machine started, in clock ticks since boot; None when there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()[19]
