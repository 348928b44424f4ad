"""What a container may do and what it sees: the default sandbox profile, and the labels it is found by."""

from __future__ import annotations

import os
import posixpath
import socket
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker.types

from sandbox.base import Limits
from sandbox.seccomp import place_profile
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


PLACE_MASKS: Mapping[str, Any] = {"MaskedPaths": [], "ReadonlyPaths": []}
"""Nothing of /proc is covered in a place: a new /proc, which each execution gets, needs one that is whole. The cell
covers the same paths itself, before the command starts."""
_PLACE_MEMORY, _PLACE_PROCESSES = 48 * 1024**2, 4  # the server, a keeper and its parent, init


def place_config(limits: Limits, settings: DockerSettings, cpus: float) -> dict[str, Any]:
    """Of a container that serves cells: it may make user namespaces, and nothing of the image can be written."""
    wanted = host_config(with_place(limits), settings, cpus)
    security = [*wanted["security_opt"], f"seccomp={place_profile()}", "apparmor=unconfined"]
    # Without this one capability the kernel lets nobody map user 0 into a user namespace. Commands in cells have none.
    return {**wanted, "security_opt": security, "init": False, "read_only": True, "cap_add": ["SETFCAP"]}


def place_update(limits: Limits, cpus: float) -> dict[str, Any]:
    """`update_body` for a place."""
    return update_body(with_place(limits), cpus)


def with_place(limits: Limits) -> Limits:
    """The limits with what the place's own processes need on top."""
    memory, processes = limits.memory_bytes + _PLACE_MEMORY, limits.processes + _PLACE_PROCESSES
    return replace(limits, memory_bytes=memory, processes=processes)


def _nano_cpus(limits: Limits, cpus: float) -> int:
    # The engine refuses more CPUs than there are.
    return int(min(limits.cpus, cpus) * 1e9)


def environment(image: Mapping[str, str], python: str) -> dict[str, str]:
    """The environment variables of every execution: the image's, a home to write to, and what is pinned."""
    folder, path = posixpath.dirname(python), image["PATH"]
    first = [] if folder in path.split(":") else [folder]
    return {
        **image,
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
