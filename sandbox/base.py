"""What every sandbox backend offers: the contract, without a word about Docker.

A `Backend` turns an environment and a snapshot of the repository into a `Sandbox`. A sandbox hands out
`Workspace`s: pristine copies of the repository at the base commit, plus at most one patch. Commands run in a
workspace, and each ends as an `Execution`, whatever the executed code does. `tests/conformance` holds every
backend to this page.
"""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NewType, Protocol

RepoPath = NewType("RepoPath", str)
"""A file's path relative to the repository's root, with forward slashes, never leaving the root."""

Patch = NewType("Patch", str)
"""A unified diff as `git diff --binary` prints it against the base commit; valid UTF-8; "" is the unedited tree."""

UNEDITED = Patch("")

Tree = Mapping[RepoPath, bytes]
"""Path -> content of the regular files of a tree."""

Changes = Mapping[RepoPath, bytes | None]
"""What an edit makes of files: path -> new content, or None for a deleted file."""


@dataclass(frozen=True)
class Limits:
    """What one execution may use. Reaching one ends the execution, never the host's service to others."""

    seconds: float = 100.0
    memory_bytes: int = 4 * 1024**3
    cpus: float = 2.0
    processes: int = 512
    output_bytes: int = 100_000
    """Kept output: the first half and the last half of it; the middle is drained and counted."""
    file_bytes: int = 1024**3
    """The largest single file that may be written."""
    cpu_seconds: int | None = None
    """Processor time of one process, all its threads together; beyond it the execution has timed out as well. A slow
    moment of the machine does not count here. None: as much as the deadline lets it have."""


OUT_OF_CPU = 128 + signal.SIGXCPU
"""The exit code of a process that used up `Limits.cpu_seconds`."""


class Limit(StrEnum):
    """A limit that an execution ran into, whether or not that ended it."""

    TIME = "time"
    MEMORY = "memory"
    PROCESSES = "processes"
    DISK = "disk"


class Ended(StrEnum):
    """How an execution came to its end."""

    EXITED = "exited"
    TIMED_OUT = "timed_out"
    OUT_OF_MEMORY = "out_of_memory"


@dataclass(frozen=True)
class Execution:
    """What one command did."""

    ended: Ended
    exit_code: int | None
    """None when it was killed for its deadline or its memory; 128 + N when a signal N of its own ended it."""
    output: str
    """stdout and stderr interleaved, decoded as UTF-8 with replacement, the middle left out when it is long."""
    output_bytes: int
    """Bytes written in all, kept or not."""
    seconds: float
    """Wall time of the command, without the workspace's own start."""
    reached: frozenset[Limit] = frozenset()
    """Limits it ran into: a command may fail because a fork or a write failed, and end by itself with any code."""


class Workspace(Protocol):
    """A pristine copy of the repository in a sandbox, plus at most one patch. Used by one caller at a time."""

    @property
    def repository(self) -> str:
        """Absolute path of the repository inside the workspace."""
        ...

    async def run(
        self,
        argv: Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        limits: Limits | None = None,
    ) -> Execution:
        """Run a command to its end or its deadline. No process it started is alive on return.

        `cwd` is the repository unless named. After a timeout the workspace still takes commands.
        Raises SandboxLost, SandboxTimeout.
        """
        ...

    async def write(self, path: str, data: bytes) -> None:
        """Write a file (absolute path, or relative to the repository), with its folders. Raises WorkspaceError."""
        ...

    async def read(self, path: str) -> bytes:
        """Content of a file of at most 16 MiB. Raises WorkspaceError."""
        ...

    async def diff(self) -> Patch:
        """The patch from the base commit to the present tree, new files included, ignored ones not."""
        ...


class Sandbox(Protocol):
    """A task's prepared environment, from which workspaces are made."""

    @property
    def digest(self) -> str:
        """Content digest of the image, for cache keys and the run's manifest."""
        ...

    @property
    def base_image(self) -> str:
        """What the image was made of, exactly: `NAME@sha256:...` where a registry gave it; "" where not known."""
        ...

    @property
    def python(self) -> str:
        """The interpreter that runs test scripts inside, an absolute path."""
        ...

    def workspace(self, patch: Patch = UNEDITED) -> AbstractAsyncContextManager[Workspace]:
        """A pristine workspace with the patch applied, gone with its processes at exit.

        Raises PatchRejected (does not apply), SandboxLost, SandboxTimeout, DiskFull.
        """
        ...

    async def tree(self) -> Tree:
        """The tracked regular files at the base commit, each up to 1 MiB; larger ones are left out."""
        ...

    async def make_patch(self, changes: Changes) -> Patch:
        """Have git, inside the sandbox, make the patch of the changes and apply it to a clean tree.

        "" when the changes change nothing. Raises PatchRejected when a path leaves the repository, lies in
        `.git`, or the patch does not apply to the clean tree with exactly the changed content.
        """
        ...

    async def close(self) -> None:
        """Stop everything that belongs to this sandbox. Safe to call twice."""
        ...


@dataclass(frozen=True)
class Snapshot:
    """The repository at the base commit, as a tar archive on the host, without history."""

    tar: Path
    digest: str
    """Git's tree id of the base commit; names the content."""


@dataclass(frozen=True)
class Recipe:
    """How to make an image for a repository: a base image, system packages, commands run in the repository."""

    base: str = "python:3.11"
    """`python:X.Y` is pulled, or made on this machine where no registry answers; other names are pulled."""
    apt: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    """Shell commands, run with network before the repository is there: other commits' images share what they made."""
    install: tuple[str, ...] = ()
    """Shell commands, run with network in the repository's root while the image is built."""
    env: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class ImageName:
    """An image that exists. Where no snapshot is given it holds the repository at `repository`."""

    image: str
    repository: str = "/testbed"


@dataclass(frozen=True)
class ContainerFile:
    """The project's own Dockerfile (or a devcontainer's), relative to the repository's root."""

    dockerfile: RepoPath
    context: RepoPath = RepoPath(".")
    install: tuple[str, ...] = ()
    """Commands run after it was built, in the repository."""


Environment = Recipe | ImageName | ContainerFile
"""What a task's code needs to run."""


class Backend(Protocol):
    """A way to make sandboxes: Docker, bubblewrap, ..."""

    async def open(self, environment: Environment, snapshot: Snapshot | None, *, run_id: str) -> Sandbox:
        """Build or find the environment's image and return the sandbox made of it.

        Raises EngineUnavailable, EnvironmentUnavailable, DiskFull.
        """
        ...

    async def check(self) -> None:
        """Say whether anything can be started now; tells a task's own failure from one that all tasks share.

        Raises EngineUnavailable, SandboxTimeout, DiskFull.
        """
        ...

    async def close(self) -> None:
        """Remove every container of this backend's run. Safe to call twice."""
        ...


def digest_of(*parts: str | bytes) -> str:
    """Hex SHA-256 over the parts, each preceded by its length so that no two lists of parts collide."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part
        total.update(len(data).to_bytes(8, "big") + data)
    return total.hexdigest()
