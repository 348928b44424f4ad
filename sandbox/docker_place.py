"""Places of the Docker backend: one container each, reached over its standard input and output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from docker.utils import socket as docker_socket

from sandbox import inside, profile
from sandbox.base import Limits
from sandbox.client import Client, Refused
from sandbox.descriptors import arrived
from sandbox.docker_engine import Engine
from sandbox.errors import SandboxLost
from sandbox.execute import Frames
from sandbox.image import Image
from sandbox.place import Place

_socket: Any = docker_socket


def start_place(
    engine: Engine, image: Image, name: str, labels: Mapping[str, str], limits: Limits, python: str = ""
) -> Place:
    """Start a container that serves cells. `python`: see `inside.entry`. Blocks.

    Raises SandboxLost, SandboxTimeout, Refused.
    """
    client = engine.client
    client.create(
        image.name,
        name,
        host=profile.place_config(limits, engine.settings, engine.cpus),
        also=profile.PLACE_MASKS,
        entrypoint=inside.entry(python),
        command=inside.arguments(*inside.CELLS),
        user=image.user,
        environment={"PATH": image.env["PATH"], "LANG": "C.UTF-8"},
        labels=dict(labels),
        hostname="sandbox",
        working_dir="/",
        network_disabled=True,
        stdin_open=True,
    )
    wire = DockerWire(client, name, engine.cpus)
    try:
        client.start(name)
        return Place(wire, limits)
    except BaseException:
        wire.end()
        raise


class DockerWire:
    """The attached socket of a container. Implements `sandbox.place.Wire`."""

    def __init__(self, client: Client, container: str, cpus: float) -> None:
        self._client = client
        self._container = container
        self._cpus = cpus
        self._socket = client.attach(container, stdin=True)
        self._words = bytearray()
        self._got = bytearray()
        self._frames = Frames(self._got.extend, self._say)
        self._ended = False

    def send(self, data: bytes) -> None:
        """See Wire.send."""
        try:
            getattr(self._socket, "_sock", self._socket).sendall(data)
        except OSError as error:
            raise SandboxLost(f"a container's input broke: {error}") from error

    def receive(self, seconds: float) -> bytes | None:
        """See Wire.receive."""
        if not arrived([self._socket], seconds):
            return None
        try:
            data: bytes | None = _socket.read(self._socket, 1 << 18)
        except OSError as error:
            raise SandboxLost(f"a container's output broke: {error}") from error
        if not data:
            return b""
        self._frames.feed(data)
        got = bytes(self._got)
        self._got.clear()
        return got or None

    def limit(self, limits: Limits) -> None:
        """See Wire.limit."""
        try:
            self._client.update(self._container, profile.place_update(limits, self._cpus))
        except Refused as refused:
            raise SandboxLost(str(refused)) from refused

    def rlimits(self, limits: Limits) -> Mapping[str, int]:
        """See Wire.rlimits. The engine holds the whole container."""
        return {}

    def end(self) -> None:
        """See Wire.end."""
        if not self._ended:
            self._ended = True
            # The response first: it gives up its connection, which carries a raw stream now.
            response = getattr(self._socket, "_response", None)
            if response is not None:
                response.close()
            self._socket.close()
        self._client.remove(self._container)

    def last_words(self) -> str:
        """See Wire.last_words."""
        return self._words.decode("utf-8", "replace")

    def _say(self, data: bytes) -> None:
        self._words += data
        del self._words[:-4000]
