"""Settings of the Docker backend; a section of the configuration file, with defaults fit for one machine."""

from __future__ import annotations

import os

from pydantic import BaseModel, ConfigDict, Field

from sandbox.base import Limits


class DockerSettings(BaseModel):
    """How to reach the engine, what a sandbox may use, and how long the engine may take."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str | None = None
    """The engine's address; DOCKER_HOST or the local socket when None."""
    runtime: str | None = None
    """An OCI runtime the engine knows, such as `runsc` (gVisor) or `kata`; the engine's default when None."""
    parallel: int = Field(default_factory=lambda: max(os.cpu_count() or 1, 1), ge=1)
    """Executions at the same time."""
    limits: Limits = Limits()
    """For executions that name none."""
    open_files: int = Field(default=4096, ge=64)
    free_disk_bytes: int = Field(default=2 * 1024**3, ge=0)
    """Nothing is started, and running commands are stopped, when the engine's disk has less free than this."""
    engine_seconds: float = Field(default=60.0, gt=0)
    """Deadline of one call to the engine (create, start, copy, remove)."""
    pull_seconds: float = Field(default=20.0, gt=0)
    """How long a registry may take to begin to answer."""
    build_seconds: float = Field(default=3600.0, gt=0)
    """Deadline of one image build."""
    build_network: str = "host"
    """The network of image builds. Executions never have one."""
