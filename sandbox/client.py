"""The docker SDK, with deadlines and this package's errors. Every method blocks: call it in a worker thread.

The SDK is untyped, so it is held as `Any` here and nowhere else.
"""

from __future__ import annotations

import base64
import io
import json
import socket
import tarfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import docker.errors
import docker.utils
import requests.exceptions
import urllib3.exceptions
from docker.constants import DEFAULT_DOCKER_API_VERSION

from sandbox.errors import DiskFull, EngineUnavailable, SandboxLost, SandboxTimeout

MAX_READ_BYTES = 16 * 1024**2
_GO_DIRECTORY = 1 << 31


class Refused(Exception):
    """The engine answered with an error that is no loss: bad request, no such image, conflict.

    Never leaves this package; whoever asked turns it into an error of `sandbox.errors`.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@contextmanager
def translated(doing: str) -> Generator[None, None, None]:
    """The SDK's and the transport's errors as SandboxTimeout, SandboxLost, DiskFull or Refused."""
    try:
        yield
    except docker.errors.APIError as error:
        text = str(error.explanation or error)
        status = int(getattr(error.response, "status_code", 0) or 0)
        if "no space left on device" in text.lower():
            raise DiskFull(
                f"{doing}: the engine's disk is full. Free some: bestpatch prune, docker system prune"
            ) from error
        if "no such container" in text.lower() or (status == 409 and "is not running" in text):
            raise SandboxLost(f"{doing}: the container is gone") from error
        raise Refused(f"{doing}: {text}", status) from error
    except requests.exceptions.Timeout as error:
        raise SandboxTimeout(f"{doing}: the engine did not answer in time") from error
    except (
        requests.exceptions.RequestException,
        urllib3.exceptions.HTTPError,  # from an answer that is read piece by piece
        docker.errors.DockerException,
        OSError,
    ) as error:
        if "timed out" in str(error).lower():
            raise SandboxTimeout(f"{doing}: the engine did not answer in time") from error
        raise SandboxLost(f"{doing}: the connection to the engine broke: {error}") from error


def _knock(url: str, seconds: float) -> None:
    """Connect to a local socket once, because the SDK leaves the socket open when that fails."""
    if url.startswith("unix:"):
        path = "/" + url.removeprefix("unix:").lstrip("/")
        with socket.socket(socket.AF_UNIX) as door:
            door.settimeout(seconds)
            door.connect(path)


def connect(url: str | None, seconds: float, connections: int = 32) -> Client:
    """A client of the engine at `url` (DOCKER_HOST or the local socket when None). Raises EngineUnavailable."""
    make: Any = docker.APIClient
    try:
        from_environment: Any = docker.utils.kwargs_from_env()
        where: dict[str, Any] = {"base_url": url} if url else from_environment
        _knock(str(where.get("base_url") or "unix:///var/run/docker.sock"), seconds)
        # Asked by hand: the SDK's own negotiation leaves the connection open when it fails.
        probe: Any = make(**where, version=DEFAULT_DOCKER_API_VERSION, timeout=seconds)
        try:
            version = str(probe.version(api_version=False)["ApiVersion"])
        finally:
            probe.close()
        api: Any = make(**where, version=version, timeout=seconds, max_pool_size=connections)
    except (docker.errors.DockerException, requests.exceptions.RequestException, OSError) as error:
        raise EngineUnavailable(
            f"no Docker engine answers ({error}). Start one, or install one with `python -m sandbox.engine` as "
            "root on Debian or Ubuntu; DOCKER_HOST names an engine elsewhere."
        ) from error
    return Client(api, seconds)


@dataclass(frozen=True)
class State:
    """How a container's main process ended. Times are the engine's, ISO 8601."""

    running: bool
    removing: bool
    exit_code: int
    out_of_memory: bool
    started: str
    finished: str


class Client:
    """What this package asks of the engine."""

    def __init__(self, api: Any, seconds: float) -> None:
        self.api = api
        self.seconds = seconds

    def close(self) -> None:
        self.api.close()

    def architecture(self) -> str:
        """The engine's processor as images name it: amd64, arm64, ..."""
        with translated("asking the engine about itself"):
            return str(self.api.version()["Arch"])

    def info(self) -> Mapping[str, Any]:
        with translated("asking the engine about itself"):
            return self.api.info()

    # containers

    def create(
        self, image: str, name: str, *, host: Mapping[str, Any], also: Mapping[str, Any] | None = None, **config: Any
    ) -> str:
        """`also` goes into the host configuration as it is: what the SDK has no argument for."""
        with translated("creating a container"):
            created = self.api.create_container(
                image,
                name=name,
                host_config={**self.api.create_host_config(**host), **(also or {})},
                # The SDK would copy the proxies of ~/.docker/config.json, passwords included, into the container.
                use_config_proxy=False,
                healthcheck={"test": ["NONE"]},
                **config,
            )
        return created["Id"]

    def start(self, container: str) -> None:
        with translated("starting a container"):
            self.api.start(container)

    def kill(self, container: str) -> None:
        """SIGKILL for every process of the container; nothing when none runs."""
        try:
            with translated("killing a container"):
                self.api.kill(container)
        except SandboxLost as lost:
            if isinstance(lost.__cause__, docker.errors.APIError):
                return  # ended by itself in the meantime
            raise

    def wait(self, container: str, seconds: float) -> bool:
        """True when the main process has ended within this time."""
        try:
            with translated("waiting for a container"):
                self.api.wait(container, timeout=max(seconds, 0.05))
        except SandboxTimeout:
            return False
        return True

    def state(self, container: str) -> State:
        with translated("inspecting a container"):
            state = self.api.inspect_container(container)["State"]
        return State(
            running=state["Running"],
            removing=state["Status"] in ("removing", "dead"),
            exit_code=state["ExitCode"],
            out_of_memory=state["OOMKilled"],
            started=state["StartedAt"],
            finished=state["FinishedAt"],
        )

    def attach(self, container: str, *, stdin: bool = False) -> Any:
        """A socket with what the container will print, in the engine's frames; writes reach its standard input."""
        with translated("attaching to a container"):
            wanted = {"stdin": int(stdin), "stdout": 1, "stderr": 1, "stream": 1}
            return self.api.attach_socket(container, params=wanted)

    def update(self, container: str, body: Mapping[str, Any]) -> None:
        # The SDK's own update knows no pids limit, so the request is made by hand.
        url = f"{self.api.base_url}/v{self.api.api_version}/containers/{container}/update"
        with translated("changing a container's limits"):
            answer = self.api.post(url, json=dict(body), timeout=self.seconds)
        if answer.status_code == 404:
            raise SandboxLost("changing a container's limits: the container is gone")
        if answer.status_code >= 400:
            raise Refused(f"changing a container's limits: {answer.text}", answer.status_code)

    def remove(self, container: str) -> None:
        """Kill and delete a container with its anonymous volumes; nothing when there is none."""
        try:
            with translated("removing a container"):
                self.api.remove_container(container, force=True, v=True)
        except SandboxLost as lost:
            if not isinstance(lost.__cause__, docker.errors.APIError):
                raise
        except Refused as refused:
            if "already in progress" not in str(refused):
                raise SandboxLost(str(refused)) from refused

    def containers(self, *labels: str) -> list[Mapping[str, Any]]:
        """All containers with these labels, also those that do not run."""
        with translated("listing containers"):
            return self.api.containers(all=True, filters={"label": list(labels)})

    def container_bytes(self, container: str) -> int:
        """What a container has written to the engine's disk; 0 when there is none. Slow: the engine adds it up."""
        with translated("measuring a container"):
            found = self.api.containers(all=True, size=True, filters={"id": container})
        return int(found[0].get("SizeRw") or 0) if found else 0

    def put(self, container: str, folder: str, archive: bytes) -> None:
        with translated("writing into a container"):
            self.api.put_archive(container, _raw(folder), archive)

    def stat(self, container: str, path: str) -> Mapping[str, Any] | None:
        """What the engine says of a path, its `mode` as Go's FileMode; None when there is nothing."""
        url = f"{self.api.base_url}/v{self.api.api_version}/containers/{container}/archive"
        with translated("looking into a container"):
            answer = self.api.head(url, params={"path": _raw(path)}, timeout=self.seconds)
        told = answer.headers.get("X-Docker-Container-Path-Stat", "")
        return json.loads(base64.b64decode(told)) if answer.status_code == 200 and told else None

    def get(self, container: str, path: str) -> tuple[Mapping[str, Any], bytes]:
        """What the engine says of the path (size, mode, linkTarget) and its tar archive."""
        with translated("reading from a container"):
            chunks, stat = self.api.get_archive(container, _raw(path))
            data = bytearray()
            for chunk in chunks:
                data += chunk
                # One header block per member comes on top; anything beyond is a folder or a file grown meanwhile.
                if len(data) > MAX_READ_BYTES + 64 * 1024:
                    chunks.close()
                    break
        return stat, bytes(data)

    # images

    def images(self) -> list[Mapping[str, Any]]:
        """All images, those of a build's steps included."""
        with translated("listing images"):
            return self.api.images(all=True)

    def remove_image(self, name: str) -> None:
        """Take a name from an image, and delete it with its last one. Raises Refused: 404 none, 409 it is used."""
        with translated("removing an image"):
            self.api.remove_image(name)

    def image(self, name: str) -> Mapping[str, Any] | None:
        """The engine's description of an image it has, else None."""
        try:
            with translated("inspecting an image"):
                return self.api.inspect_image(name)
        except Refused as refused:
            if refused.status == 404:
                return None
            raise SandboxLost(str(refused)) from refused


def _raw(path: str) -> bytes:
    """A path's bytes, which need not be text: the SDK quotes them as they are."""
    return path.encode("utf-8", "surrogateescape")


def is_folder(stat: Mapping[str, Any]) -> bool:
    return bool(int(stat["mode"]) & _GO_DIRECTORY)


def archive_of(files: Mapping[str, bytes], *, user: int = 0, mode: int = 0o644) -> bytes:
    """A tar archive of regular files, paths relative to where it will be unpacked."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path, data in files.items():
            member = tarfile.TarInfo(path)
            member.size, member.mode, member.uid, member.gid = len(data), mode, user, user
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def free_bytes(folder: str | None) -> int | None:
    """Free space where the engine keeps its files; None when that is not on this machine."""
    import shutil

    if folder is None or not Path(folder).is_dir():
        return None
    return shutil.disk_usage(folder).free
