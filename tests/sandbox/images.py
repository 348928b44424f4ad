"""Images of a family of their own for tests, so that those of others on the engine are none of their business."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sandbox import builder as building
from sandbox import inventory
from sandbox.build_context import Context, context_of
from sandbox.builder import Builder
from sandbox.client import Client, connect
from sandbox.image_store import ImageStore
from sandbox.settings import DockerSettings

MB = 1_000_000


@pytest.fixture
def client() -> Generator[Client]:
    client = connect(None, 60)
    yield client
    client.close()


@dataclass
class Family:
    """Images that carry another label, and another name, than ours."""

    client: Client
    cache: Path
    name: str = field(default_factory=lambda: f"bestpatch-test-{uuid.uuid4().hex[:8]}")
    said: list[str] = field(default_factory=list[str])

    def store(self, budget: int = 10**15, floor: int = 0) -> ImageStore:
        settings = DockerSettings(cache=self.cache, image_disk_bytes=budget, free_disk_bytes=floor)
        return ImageStore(self.client, settings, self.said.append, threading.Event())

    def image(self, tag: str, kind: str = "env", *, base: str = "scratch", used: float | None = None) -> str:
        """An image of a megabyte, last used then."""

        def fill(context: Context) -> None:
            context.add("Dockerfile", f"FROM {base}\nLABEL {self.name}.building=1\nCOPY data /{tag}\n".encode())
            context.add("data", os.urandom(MB))

        name = f"{self.name}/{tag}"
        builder = Builder(self.client, self.store().settings, self.said.append, threading.Event())
        with context_of(fill) as file:
            builder.build(file, name, arguments={}, labels={self.name: kind})
        if used is not None:
            hold = self.store().holds.take(name)
            assert hold is not None
            hold.release()
            (file_of_hold,) = (path for path in self.cache.rglob(f"*{tag.replace(':', '%3A')}"))
            os.utime(file_of_hold, (used, used))
        self.said.clear()
        return name

    def there(self) -> set[str]:
        """The tags that are still there."""
        images: list[Any] = self.client.api.images(filters={"reference": f"{self.name}/*"})
        return {tag.rpartition("/")[2] for image in images for tag in image["RepoTags"]}


@pytest.fixture
def family(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Family]:
    family = Family(client, tmp_path)
    monkeypatch.setattr(inventory, "FAMILY", family.name)
    monkeypatch.setattr(inventory, "BUILDING", f"{family.name}.building")
    monkeypatch.setattr(building, "BUILDING", f"{family.name}.building")
    yield family
    for container in client.containers(family.name):
        client.remove(str(container["Id"]))
    for image in client.api.images(filters={"label": family.name}):
        client.api.remove_image(image["Id"], force=True)
    for image in client.api.images(filters={"label": f"{family.name}.building=1", "dangling": True}):
        client.api.remove_image(image["Id"])


def container_of(client: Client, image: str) -> str:
    return client.create(image, f"bestpatch-test-{uuid.uuid4().hex[:8]}", host={}, command=["/none"])
