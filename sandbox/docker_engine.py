"""What all sandboxes of a Docker backend share: the client, its threads, the machine's figures, and clean-up."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

import structlog
from anyio import CapacityLimiter

from sandbox import profile
from sandbox.client import Client, free_bytes
from sandbox.errors import SandboxLost
from sandbox.image_store import check_floor
from sandbox.inventory import BUILDING
from sandbox.settings import DockerSettings
from sandbox.threads import call

T = TypeVar("T")
_log: Any = structlog.get_logger(__name__)


class Engine:
    """What all sandboxes of a backend share: the client, the threads, and the machine's figures."""

    def __init__(self, client: Client, settings: DockerSettings, info: Mapping[str, Any]) -> None:
        self.client = client
        self.settings = settings
        self.cpus = float(info.get("NCPU") or 1)
        self.folder: str | None = info.get("DockerRootDir")
        # Two limits: clean-up must get a thread while every thread for executions waits.
        self.executions = CapacityLimiter(settings.parallel)
        self.calls = CapacityLimiter(settings.parallel + 8)

    def check_disk(self) -> None:
        check_floor(free_bytes(self.folder), self.folder, self.settings)

    async def call(self, function: Callable[[], T]) -> T:
        return await call(function, self.calls)

    def remove_all(self, label: str) -> None:
        for container in self.client.containers(label):
            self.client.remove(str(container["Id"]))


BUILD_LEFTOVER_SECONDS = 3600.0
"""A build's container that ended longer ago belongs to no build: a live one makes a layer of it and removes it."""


def left_behind(client: Client, build_seconds: float = BUILD_LEFTOVER_SECONDS) -> list[str]:
    """Ids of containers that runs of this machine left when they died, and builds when the engine did.

    The engine itself ends a build whose client dies, and removes its container; a running one is of a live build.
    """
    runs = [each for each in client.containers(profile.RUN) if profile.abandoned(each.get("Labels") or {})]
    found = [str(container["Id"]) for container in runs]
    for container in client.containers(f"{BUILDING}=1"):
        try:
            state = client.state(str(container["Id"]))
        except SandboxLost:
            continue  # its build went on meanwhile
        ended = max(float(container["Created"]), _seconds(state.finished))
        if not state.running and time.time() - ended > build_seconds:
            found.append(str(container["Id"]))
    return found


def reap(client: Client) -> None:
    """Remove the containers that dead runs and builds have left."""
    for container in left_behind(client):
        _log.info("removing a container of a dead run", container=container[:12])
        client.remove(container)


def _seconds(stamp: str) -> float:
    """The engine's time (UTC, ISO 8601, nanoseconds) in seconds of the epoch."""
    return datetime.fromisoformat(stamp[:19] + "+00:00").timestamp()
