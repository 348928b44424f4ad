"""A tiny image registry on loopback, which the real engine pulls from, and which can be told to misbehave."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def layer_of(files: dict[str, bytes]) -> bytes:
    """A layer's tar archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, data in files.items():
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(data), 0o644
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


class Registry(ThreadingHTTPServer):
    """Serves images under any name. `failures` are the answers to the next requests for a manifest."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, tuple[str, bytes]] = {}
        """Tag or digest -> media type and text."""
        self.failures: list[int] = []
        self.asked: list[str] = []
        """Tags and digests whose manifests were asked for, in order."""

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    def add(self, tag: str, files: dict[str, bytes], *, architecture: str = "amd64", listed: bool = False) -> str:
        """An image of one layer; gives the digest by which it can be pulled."""
        layer = layer_of(files)
        config = json.dumps(
            {
                "architecture": architecture,
                "os": "linux",
                "config": {"Cmd": ["/none"]},
                "rootfs": {"type": "layers", "diff_ids": [digest(layer)]},
                "history": [{"created_by": "a test"}],
            }
        ).encode()
        packed = gzip.compress(layer, mtime=0)
        return self.add_manifest(tag, self._blob(CONFIG, config), [self._blob(LAYER, packed)], architecture, listed)

    def add_known(self, tag: str, image_id: str) -> str:
        """An image that the engine has under another name: it asks for the manifest, and for nothing else."""
        return self.add_manifest(tag, {"mediaType": CONFIG, "size": 2, "digest": image_id}, [])

    def add_manifest(
        self, tag: str, config: Any, layers: list[Any], architecture: str = "amd64", listed: bool = False
    ) -> str:
        text = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}).encode()
        self.manifests[digest(text)] = (MANIFEST, text)
        if listed:
            platform = {"architecture": architecture, "os": "linux"}
            entry = {"mediaType": MANIFEST, "size": len(text), "digest": digest(text), "platform": platform}
            text = json.dumps({"schemaVersion": 2, "mediaType": LIST, "manifests": [entry]}).encode()
            self.manifests[digest(text)] = (LIST, text)
        self.manifests[tag] = self.manifests[digest(text)]
        return digest(text)

    def _blob(self, kind: str, data: bytes) -> dict[str, Any]:
        self.blobs[digest(data)] = data
        return {"mediaType": kind, "size": len(data), "digest": digest(data)}


class Handler(BaseHTTPRequestHandler):
    """The part of the registry's interface that pulling needs."""

    server: Registry  # pyright: ignore[reportIncompatibleVariableOverride]
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        _, _, rest = self.path.partition("/v2/")
        name, _, reference = rest.rpartition("/")
        if not rest:
            self._answer(200, "application/json", b"{}")
        elif name.endswith("/manifests"):
            self.server.asked.append(reference)
            if self.server.failures:
                self._answer(self.server.failures.pop(0), "application/json", b'{"errors": []}')
            elif reference in self.server.manifests:
                self._answer(200, *self.server.manifests[reference])
            else:
                self._error(404, "MANIFEST_UNKNOWN", "manifest unknown")
        elif reference in self.server.blobs:
            self._answer(200, "application/octet-stream", self.server.blobs[reference])
        else:
            self._error(404, "BLOB_UNKNOWN", "blob unknown")

    def _error(self, status: int, code: str, message: str) -> None:
        self._answer(status, "application/json", json.dumps({"errors": [{"code": code, "message": message}]}).encode())

    def _answer(self, status: int, kind: str, data: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Docker-Content-Digest", digest(data))
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: tests read what pytest prints."""


@contextmanager
def serving() -> Generator[Registry]:
    """A registry for as long as the block runs."""
    registry = Registry()
    thread = threading.Thread(target=registry.serve_forever, daemon=True)
    thread.start()
    try:
        yield registry
    finally:
        registry.shutdown()
        registry.server_close()
        thread.join()
