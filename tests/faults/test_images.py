"""Row 21: images that are missing, registries that refuse, digests that do not fit, full disks, other machines.

The engine is a real one, and pulls from a registry on loopback that answers as it is told.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import AsyncGenerator, Generator
from contextlib import suppress
from pathlib import Path

import anyio
import docker.errors
import pytest

from sandbox import builder
from sandbox.base import ContainerFile, ImageName, RepoPath, Sandbox, Snapshot
from sandbox.base_image import _from_registry  # pyright: ignore[reportPrivateUsage]
from sandbox.builder import PULL_TRIES
from sandbox.client import Client, connect
from sandbox.docker import DockerBackend, DockerSettings
from sandbox.errors import DiskFull, EnvironmentUnavailable
from sandbox.image_store import ImageStore
from tests.faults.registry import Registry, layer_of, serving

pytestmark = pytest.mark.docker
BASE = "bestpatch/python:3.11"
ASKS_PER_TRY = 2
"""The engine asks for a manifest's head first, and for the whole when that is refused."""


@pytest.fixture
def client() -> Generator[Client]:
    client = connect(None, 60)
    yield client
    client.close()


@pytest.fixture
def registry(client: Client, sandbox: Sandbox) -> Generator[Registry]:
    """A registry with one good image, `good:1`, that the engine has under another name."""
    with serving() as registry:
        described = client.image(BASE)
        assert described is not None
        registry.add_known("1", str(described["Id"]))
        yield registry
        for image in client.images():
            for name in (*(image["RepoTags"] or ()), *(image["RepoDigests"] or ())):
                if name.startswith(registry.host):
                    with suppress(docker.errors.ImageNotFound):  # a digest goes with the last tag of its name
                        client.api.remove_image(name, force=True)


class Opener:
    """A backend with a cache of its own, and what it says."""

    def __init__(self, cache: Path, snapshot: Snapshot, **settings: int) -> None:
        self.said: list[str] = []
        self.snapshot = snapshot
        self.backend = DockerBackend(DockerSettings(parallel=2, cache=cache, **settings), self.said.append)
        self.made: list[str] = []

    async def open(self, name: str) -> Sandbox:
        sandbox = await self.backend.open(ImageName(name), self.snapshot, run_id="images")
        self.made.append(sandbox.digest)
        return sandbox

    async def refused(self, name: str) -> str:
        with pytest.raises(EnvironmentUnavailable) as caught:
            await self.open(name)
        return str(caught.value)


@pytest.fixture
async def opener(tmp_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Opener]:
    monkeypatch.setattr(builder, "FIRST_WAIT_SECONDS", 0.01)
    # Content that no other test has: equal content is one image in the engine, whatever its names.
    own = uuid.uuid4().hex
    tar = tmp_path / "repository.tar"
    tar.write_bytes(layer_of({"calc.py": b"TOTAL = 3\n", "own.txt": own.encode()}))
    opener = Opener(tmp_path, Snapshot(tar, own))
    yield opener
    await opener.backend.close()
    for name in set(opener.made):
        client.api.remove_image(name, force=True)


async def test_an_image_by_digest_runs_and_is_named_exactly(opener: Opener, registry: Registry) -> None:
    digest = next(key for key in registry.manifests if key.startswith("sha256:"))
    name = f"{registry.host}/good@{digest}"
    sandbox = await opener.open(name)
    assert sandbox.base_image == name
    assert sandbox.digest.startswith("sha256:")
    assert registry.asked[0] == digest
    async with sandbox.workspace() as workspace:
        assert await workspace.read("calc.py")


async def test_a_name_that_can_move_is_recorded_with_the_digest_it_had(opener: Opener, registry: Registry) -> None:
    digest = next(key for key in registry.manifests if key.startswith("sha256:"))
    sandbox = await opener.open(f"{registry.host}/good:1")
    registry.add("1", {"other": b"content"})
    assert sandbox.base_image == f"{registry.host}/good@{digest}"
    assert f"pulled {sandbox.base_image}" in opener.said
    again = await opener.open(f"{registry.host}/good:1")
    assert again.base_image == sandbox.base_image, "what the engine has is used, and said to be what it is"


async def test_what_a_base_image_of_ours_was_made_of_is_named_exactly(
    opener: Opener, registry: Registry, client: Client
) -> None:
    digest = next(key for key in registry.manifests if key.startswith("sha256:"))
    tag = f"bestpatch/python:test-{uuid.uuid4().hex[:8]}"
    maker = builder.Builder(client, opener.backend.settings, opener.said.append, threading.Event())
    _from_registry(maker, f"{registry.host}/good:1", tag, "3.11")
    opener.made.append(tag)
    sandbox = await opener.open(tag)
    assert sandbox.base_image == f"{registry.host}/good@{digest}"


async def test_row_21_a_missing_image_is_asked_for_once(opener: Opener, registry: Registry) -> None:
    message = await opener.refused(f"{registry.host}/none:9")
    assert "manifest unknown" in message
    assert "Check the name and tag" in message
    assert len(registry.asked) <= ASKS_PER_TRY
    assert "remembered for an hour" in await opener.refused(f"{registry.host}/none:9")
    assert len(registry.asked) <= ASKS_PER_TRY


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_row_21_a_registry_that_recovers(opener: Opener, registry: Registry, status: int) -> None:
    registry.failures = [status] * (2 * ASKS_PER_TRY)
    sandbox = await opener.open(f"{registry.host}/good:1")
    assert sandbox.base_image.startswith(f"{registry.host}/good@sha256:")
    assert [f"try {tries} of {PULL_TRIES}" in line for tries, line in enumerate(opener.said[1:3], 1)] == [True, True]


@pytest.mark.parametrize("status", [429, 502])
async def test_row_21_a_registry_that_does_not_recover(opener: Opener, registry: Registry, status: int) -> None:
    registry.failures = [status] * 100
    message = await opener.refused(f"{registry.host}/good:1")
    assert str(status) in message
    assert "try later, or log in" in message
    assert len(registry.asked) == PULL_TRIES * ASKS_PER_TRY
    registry.failures = []
    await opener.open(f"{registry.host}/good:1")


async def test_row_21_a_registry_that_wants_a_login(opener: Opener, registry: Registry) -> None:
    registry.failures = [401] * 100
    assert "docker login" in await opener.refused(f"{registry.host}/good:1")
    assert len(registry.asked) <= ASKS_PER_TRY


async def test_row_21_no_registry_at_all(opener: Opener) -> None:
    message = await opener.refused("127.0.0.1:1/none:1")
    assert "connection refused" in message
    assert "registry mirror" in message


async def test_row_21_a_manifest_that_is_not_what_its_digest_says(
    opener: Opener, registry: Registry, client: Client
) -> None:
    wrong = "sha256:" + "1" * 64
    registry.manifests[wrong] = registry.manifests["1"]
    message = await opener.refused(f"{registry.host}/good@{wrong}")
    assert "verification failed" in message
    assert "do not use this registry" in message
    assert client.image(f"{registry.host}/good@{wrong}") is None
    assert registry.asked.count(wrong) <= ASKS_PER_TRY, "forged content is not asked for again"


async def test_row_21_a_layer_that_is_not_what_its_digest_says(
    opener: Opener, registry: Registry, client: Client
) -> None:
    registry.add("forged", {"a.txt": b"what was signed"})
    manifest = json.loads(registry.manifests["forged"][1])
    registry.blobs[manifest["layers"][0]["digest"]] = layer_of({"a.txt": b"what is sent"})
    assert "do not use this registry" in await opener.refused(f"{registry.host}/bad:forged")
    assert client.image(f"{registry.host}/bad:forged") is None


def other(client: Client) -> tuple[str, str]:
    ours = client.architecture()
    return ours, "arm64" if ours == "amd64" else "amd64"


async def test_row_21_a_list_without_an_image_for_this_machine(
    opener: Opener, registry: Registry, client: Client
) -> None:
    registry.add("other", {"a.txt": b"x"}, architecture=other(client)[1], listed=True)
    message = await opener.refused(f"{registry.host}/odd:other")
    assert "no matching manifest" in message
    assert "made for this machine" in message


async def test_row_21_an_image_for_another_machine(opener: Opener, registry: Registry, client: Client) -> None:
    ours, theirs = other(client)
    registry.add("other", {"a.txt": b"x"}, architecture=theirs)
    message = await opener.refused(f"{registry.host}/odd:other")
    assert f"is made for {theirs}, and this engine runs {ours}" in message
    assert f"Name an image for {ours}" in message


async def test_row_21_no_disk_for_a_pull(
    opener: Opener, registry: Registry, monkeypatch: pytest.MonkeyPatch, client: Client
) -> None:
    monkeypatch.setattr(ImageStore, "free", lambda _: 1)
    monkeypatch.setattr(ImageStore, "inventory", lambda *_: NOTHING)
    with pytest.raises(DiskFull, match="the floor is"):
        await opener.open(f"{registry.host}/good:1")
    assert registry.asked == []
    assert client.image(f"{registry.host}/good:1") is None


class _Nothing:
    """No image that could be removed."""

    def total(self) -> int:
        return 0

    def candidates(self) -> list[object]:
        return []


NOTHING = _Nothing()


async def test_row_21_others_go_on(opener: Opener, registry: Registry) -> None:
    """Beside an image that never comes and one that is refused for a while, the others open."""
    opened: list[Sandbox] = []
    messages: list[str] = []

    async def good(name: str) -> None:
        opened.append(await opener.open(name))

    async def bad(name: str) -> None:
        messages.append(await opener.refused(name))

    async with anyio.create_task_group() as group:
        group.start_soon(bad, f"{registry.host}/none:9")
        group.start_soon(good, f"{registry.host}/good:1")
        group.start_soon(bad, "127.0.0.1:1/none:1")
    assert len(messages) == 2
    async with opened[0].workspace() as workspace:
        assert await workspace.read("calc.py")


async def test_row_21_a_dockerfile_whose_base_is_missing(opener: Opener, registry: Registry, tmp_path: Path) -> None:
    tar = tmp_path / "snapshot.tar"
    tar.write_bytes(layer_of({"Dockerfile": f"FROM {registry.host}/none:9\n".encode()}))
    with pytest.raises(EnvironmentUnavailable, match=r"manifest unknown.*Check the name and tag"):
        await opener.backend.open(ContainerFile(RepoPath("Dockerfile")), Snapshot(tar, registry.host), run_id="images")


async def test_row_21_a_dockerfile_whose_registry_recovers(
    opener: Opener, registry: Registry, tmp_path: Path, client: Client
) -> None:
    tar = tmp_path / "snapshot.tar"
    tar.write_bytes(layer_of({"Dockerfile": f"FROM {registry.host}/good:1\nWORKDIR /app\n".encode()}))
    registry.failures = [429] * (2 * ASKS_PER_TRY)
    snapshot = Snapshot(tar, registry.host)
    sandbox = await opener.backend.open(ContainerFile(RepoPath("Dockerfile")), snapshot, run_id="images")
    opener.made.append(sandbox.digest)
    assert len([line for line in opener.said if "trying again" in line]) == 2
