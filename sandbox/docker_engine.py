"""What all sandboxes of a Docker backend share: the client, its threads, the machine's figures, and clean-up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import structlog
from anyio import CapacityLimiter

from sandbox import profile
from sandbox.client import Client, free_bytes
from sandbox.errors import DiskFull
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
        free = free_bytes(self.folder)
        if free is not None and free < self.settings.free_disk_bytes:
            raise DiskFull(
                f"{free / 1e9:.1f} GB free in {self.folder}; the floor is "
                f"{self.settings.free_disk_bytes / 1e9:.1f} GB. "
                "Free some (docker system prune) or lower sandbox.free_disk_bytes."
            )

    async def call(self, function: Callable[[], T]) -> T:
        return await call(function, self.calls)

    def remove_all(self, label: str) -> None:
        for container in self.client.containers(label):
            self.client.remove(str(container["Id"]))


def reap(client: Client) -> None:
    """Remove what runs of this machine that died without cleaning up have left."""
    for container in client.containers(profile.RUN):
        if profile.abandoned(container.get("Labels") or {}):
            _log.info("removing a container of a dead run", container=str(container["Id"])[:12])
            client.remove(str(container["Id"]))
