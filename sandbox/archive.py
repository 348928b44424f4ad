"""Archives that hold a root file system: as it is, or as an image that `docker save` (or an OCI tool) has written.

They are read here and unpacked by a process of its own (`rootfs`): nothing of them becomes a path of this machine.
"""

from __future__ import annotations

import json
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from sandbox.errors import EnvironmentUnavailable
from sandbox.rootfs import Rootfs

_MOST_JSON = 8 * 1024**2
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Saved:
    """An image in an archive: members that are its layers, the lowest first, and what its configuration says."""

    layers: tuple[str, ...]
    user: str = ""
    env: dict[str, str] = field(default_factory=dict[str, str])


class Archive:
    """An open archive. `saved` is None where it is itself a root file system."""

    def __init__(self, path: Path, machine: str) -> None:
        """Raises EnvironmentUnavailable."""
        self._path = path
        try:
            self._tar = tarfile.open(path)  # noqa: SIM115 - closed by `close`
        except (OSError, tarfile.TarError) as error:
            raise EnvironmentUnavailable(f"{path} is no tar archive that can be read: {error}") from error
        try:
            self.saved = self._saved(machine)
        except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, tarfile.TarError) as error:
            self.close()
            raise EnvironmentUnavailable(f"{path} holds no image that can be read: {error!r}") from error
        except EnvironmentUnavailable:
            self.close()
            raise

    def close(self) -> None:
        self._tar.close()

    def open(self, member: str) -> IO[bytes]:
        """Raises EnvironmentUnavailable."""
        try:
            file = self._tar.extractfile(member)
        except KeyError:
            file = None
        if file is None:
            raise EnvironmentUnavailable(f"{self._path} lacks {member}, which it names as a part of the image")
        return file

    def _saved(self, machine: str) -> Saved | None:
        names = {name.removeprefix("./") for name in self._tar.getnames()}
        if "manifest.json" in names:
            images = self._json("manifest.json")
            if len(images) != 1:
                raise ValueError(f"{len(images)} images; save one alone")
            return _described(self._json(images[0]["Config"]), images[0]["Layers"])
        if not {"index.json", "oci-layout"} <= names:
            return None
        entries = self._json("index.json")["manifests"]
        while True:
            manifest = self._json(_blob(_of_machine(entries, machine)["digest"]))
            if "manifests" not in manifest:
                break
            entries = manifest["manifests"]
        for layer in manifest["layers"]:
            if str(layer.get("mediaType", "")).endswith("zstd"):
                raise ValueError("layers are compressed with zstd; save the image with gzip or uncompressed")
        layers = [_blob(layer["digest"]) for layer in manifest["layers"]]
        return _described(self._json(_blob(manifest["config"]["digest"])), layers)

    def _json(self, member: str) -> Any:
        return json.loads(self.open(member).read(_MOST_JSON))


def unpack(path: Path, machine: str, rootfs: Rootfs) -> Saved:
    """Unpack a folder, or an archive of a root file system or an image. Raises EnvironmentUnavailable."""
    if path.is_dir():
        rootfs.unpack_folder(path)
        return Saved(())
    archive = Archive(path, machine)
    try:
        if archive.saved is None:
            with path.open("rb") as file:
                rootfs.unpack(file)
            return Saved(())
        for layer in archive.saved.layers:
            with archive.open(layer) as file:
                rootfs.unpack(file)
        return archive.saved
    finally:
        archive.close()


def _of_machine(entries: list[Any], machine: str) -> Any:
    wanted = _ARCHITECTURES.get(machine, machine)
    fitting = [entry for entry in entries if entry.get("platform", {}).get("architecture", wanted) == wanted]
    if not fitting:
        raise ValueError(f"no image for {wanted}")
    return fitting[0]


def _blob(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")


def _described(config: Any, layers: list[str]) -> Saved:
    inside: dict[str, Any] = config.get("config") or {}
    entries: list[str] = inside.get("Env") or []
    env = dict(entry.split("=", 1) for entry in entries if "=" in entry)
    return Saved(tuple(layers), str(inside.get("User") or ""), env)
