"""Settings of the backends; a section of the configuration file, with defaults fit for one machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from platformdirs import user_cache_path
from pydantic import BaseModel, ConfigDict, Field

from sandbox.base import Limits


class BackendSettings(BaseModel):
    """What a sandbox may use, whatever makes it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    parallel: int = Field(default_factory=lambda: max(os.cpu_count() or 1, 1), ge=1)
    """Executions at the same time."""
    limits: Limits = Limits()
    """For executions that name none."""
    workspace_bytes: int = Field(default=2 * 1024**3, ge=16 * 1024**2)
    """What may be written into one workspace of a cell; it is held in memory, so at most half of its limit."""
    workspace_files: int = Field(default=400_000, ge=1000)
    """Files that may be made in one workspace of a cell."""
    open_files: int = Field(default=4096, ge=64)
    free_disk_bytes: int = Field(default=2 * 1024**3, ge=0)
    """Nothing starts, and commands and builds are stopped, when the disk with the images has less free than this."""
    cache: Path = Field(default_factory=lambda: user_cache_path("bestpatch"))
    """Where it is noted who uses which image, and where unpacked images lie."""
    image_disk_bytes: int = Field(default=40 * 1024**3, ge=0)
    """Before a build, images of ours beyond this go, least recently used first."""
    builds: int = Field(default_factory=lambda: max(2, (os.cpu_count() or 1) // 4), ge=1)
    """Image builds and pulls at the same time."""
    build_seconds: float = Field(default=3600.0, gt=0)
    """Deadline of one image build."""


class DockerSettings(BackendSettings):
    """How to reach the engine, and how long it may take."""

    url: str | None = None
    """The engine's address; DOCKER_HOST or the local socket when None."""
    runtime: str | None = None
    """An OCI runtime the engine knows, such as `runsc` (gVisor) or `kata`; the engine's default when None."""
    isolation: Literal["auto", "cells", "containers"] = "auto"
    """`cells`: executions in namespaces of their own inside warm containers, milliseconds each. `containers`: a
    container for each workspace, for engines that do not allow that. `auto`: cells where they work."""
    engine_seconds: float = Field(default=60.0, gt=0)
    """Deadline of one call to the engine (create, start, copy, remove)."""
    pull_seconds: float = Field(default=20.0, gt=0)
    """How long a registry may take to begin to answer."""
    build_network: str = "host"
    """The network of image builds. Executions never have one."""


class BubblewrapSettings(BackendSettings):
    """Where unpacked images are kept."""

    cache: Path = Field(default_factory=lambda: user_cache_path("bestpatch"))
    """Where we are root and this is not open to others, /var/cache/bestpatch: images belong to another user."""
    images: Path | None = None
    """Where images are found by name, as `docker save` has written them; `saved` in the cache when None."""
