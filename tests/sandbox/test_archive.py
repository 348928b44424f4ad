"""Archives of images: what is found in those that docker save and OCI tools write, and what is refused."""

from __future__ import annotations

import io
import json
import platform
import tarfile
import threading
import uuid
from pathlib import Path
from typing import Any

import pytest

from sandbox.archive import Archive, Saved
from sandbox.build_context import Context, context_of
from sandbox.builder import Builder
from sandbox.client import connect
from sandbox.errors import EnvironmentUnavailable
from sandbox.settings import DockerSettings

CONFIG = {"config": {"User": "app", "Env": ["PATH=/opt/bin:/bin", "A=b=c"]}}


def archive(folder: Path, members: dict[str, Any]) -> Path:
    path = folder / "image.tar"
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def saved(path: Path, machine: str = "x86_64") -> Saved | None:
    opened = Archive(path, machine)
    opened.close()
    return opened.saved


def test_what_docker_saves(tmp_path: Path) -> None:
    manifest = [{"Config": "c.json", "Layers": ["1/layer.tar", "2/layer.tar"]}]
    found = saved(archive(tmp_path, {"manifest.json": manifest, "c.json": CONFIG}))
    assert found == Saved(("1/layer.tar", "2/layer.tar"), "app", {"PATH": "/opt/bin:/bin", "A": "b=c"})


@pytest.mark.docker
def test_what_this_machines_docker_saves(tmp_path: Path) -> None:
    client = connect(None, 60)
    tag = f"bestpatch/test-saved:{uuid.uuid4().hex}"

    def fill(context: Context) -> None:
        lines = ["FROM scratch", "COPY one /one", "COPY two /two", "ENV A='b c'", "USER 7:8"]
        context.add("Dockerfile", "\n".join(lines).encode())
        context.add("one", b"1")
        context.add("two", b"2")

    try:
        builder = Builder(client, DockerSettings(), lambda _: None, threading.Event())
        with context_of(fill) as file:
            builder.build(file, tag, arguments={}, labels={})
        with (tmp_path / "saved.tar").open("wb") as out:
            out.writelines(client.api.get_image(tag))
        client.api.remove_image(tag)
    finally:
        client.close()
    opened = Archive(tmp_path / "saved.tar", platform.machine())
    try:
        assert opened.saved is not None
        assert (opened.saved.user, opened.saved.env["A"]) == ("7:8", "b c")
        files: list[str] = []
        for layer in opened.saved.layers:
            with opened.open(layer) as data, tarfile.open(fileobj=data, mode="r|*") as tar:
                files += tar.getnames()
    finally:
        opened.close()
    assert files == ["one", "two"]


def oci(layer: str = "application/vnd.oci.image.layer.v1.tar+gzip") -> dict[str, Any]:
    return {
        "oci-layout": {"imageLayoutVersion": "1.0.0"},
        "index.json": {"manifests": [{"digest": "sha256:list"}]},
        "blobs/sha256/list": {
            "manifests": [
                {"digest": "sha256:arm", "platform": {"architecture": "arm64"}},
                {"digest": "sha256:amd", "platform": {"architecture": "amd64"}},
            ]
        },
        "blobs/sha256/amd": {
            "config": {"digest": "sha256:c"},
            "layers": [{"digest": "sha256:l", "mediaType": layer}],
        },
        "blobs/sha256/c": {"config": None},
    }


def test_an_oci_layout_gives_the_image_of_this_machine(tmp_path: Path) -> None:
    assert saved(archive(tmp_path, oci())) == Saved(("blobs/sha256/l",))


@pytest.mark.parametrize(
    ("members", "said"),
    [
        (oci("application/vnd.oci.image.layer.v1.tar+zstd"), "zstd"),
        ({"manifest.json": [{}, {}]}, "2 images"),
        ({"manifest.json": [{"Config": "none.json", "Layers": []}]}, "none.json"),
        ({"manifest.json": b"no json"}, "no image that can be read"),
        ({"oci-layout": {}, "index.json": {"manifests": []}}, "no image for amd64"),
    ],
)
def test_what_cannot_be_used_is_said(tmp_path: Path, members: dict[str, Any], said: str) -> None:
    with pytest.raises(EnvironmentUnavailable, match=said):
        saved(archive(tmp_path, members))


def test_a_root_file_system_is_no_image(tmp_path: Path) -> None:
    assert saved(archive(tmp_path, {"etc/passwd": b"", "usr/manifest.json": b"[]"})) is None


def test_no_archive_at_all(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_text("no tar")
    with pytest.raises(EnvironmentUnavailable, match=r"x\.tar"):
        Archive(tmp_path / "x.tar", "x86_64")


def test_a_missing_layer(tmp_path: Path) -> None:
    opened = Archive(archive(tmp_path, {"manifest.json": [{"Config": "c", "Layers": ["gone"]}], "c": {}}), "x86_64")
    with pytest.raises(EnvironmentUnavailable, match="lacks gone"):
        opened.open("gone")
    opened.close()
