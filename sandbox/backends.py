"""Which backend makes the sandboxes of this machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from sandbox.base import Backend
from sandbox.bubblewrap import BubblewrapBackend
from sandbox.client import connect
from sandbox.docker import DockerBackend
from sandbox.errors import EngineUnavailable
from sandbox.settings import BubblewrapSettings, DockerSettings
from sandbox.walls import why_not

Name = Literal["auto", "docker", "bubblewrap"]
_ANSWER_SECONDS = 10.0


def choose_backend(
    name: Name, docker: DockerSettings, bubblewrap: BubblewrapSettings, say: Callable[[str], None] = lambda _: None
) -> Backend:
    """The backend of that name; `auto` is Docker where it answers, else bubblewrap where it works. Blocks.

    Raises EngineUnavailable, which says how to get an engine.
    """
    if backend_name(name, docker) == "docker":
        return DockerBackend(docker, say)
    return BubblewrapBackend(bubblewrap, say)


def backend_name(name: Name, docker: DockerSettings) -> Literal["docker", "bubblewrap"]:
    """What `auto` comes to on this machine. Blocks. Raises EngineUnavailable where neither is there."""
    if name != "auto":
        return name
    try:
        connect(docker.url, _ANSWER_SECONDS, 1).close()
    except EngineUnavailable as error:
        why = why_not()
        if why is not None:
            raise EngineUnavailable(f"{error} Sandboxes without an engine are not possible either: {why}") from error
        return "bubblewrap"
    return "docker"
