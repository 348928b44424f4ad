"""The build's log, its deadline, and pulls that are refused."""

from __future__ import annotations

import io
import threading
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sandbox import builder as module
from sandbox.builder import PULL_TRIES, Builder
from sandbox.client import Client
from sandbox.errors import DiskFull, EnvironmentUnavailable
from sandbox.settings import DockerSettings


class NoEngine(Client):
    """An engine that has no image, and whose disk is elsewhere."""

    def __init__(self) -> None:
        super().__init__(None, 1.0)

    def info(self) -> Mapping[str, Any]:
        return {"ID": "none"}

    def images(self) -> list[Mapping[str, Any]]:
        return []

    def containers(self, *labels: str) -> list[Mapping[str, Any]]:
        return []

    def image(self, name: str) -> None:
        return None


class Scripted(Builder):
    """A builder whose engine's answers are given."""

    def __init__(self, events: list[dict[str, str]], **settings: Any) -> None:
        self.said: list[str] = []
        super().__init__(NoEngine(), DockerSettings(**settings), self.said.append, threading.Event())
        self.events = events

    def feed(self) -> None:
        log: deque[str] = deque(maxlen=5)
        for event in self.events:
            self._event(event, log, time.monotonic() + self.settings.build_seconds, "tag")


def test_a_failing_build_gives_the_end_of_its_log() -> None:
    events = [{"stream": f"line {number}\n"} for number in range(100)] + [{"error": "returned a non-zero code: 1"}]
    with pytest.raises(EnvironmentUnavailable, match="non-zero code: 1") as caught:
        Scripted(events).feed()
    assert caught.value.log == "".join(f"line {number}\n" for number in range(95, 100))


def test_our_own_words_in_the_log_are_the_reason() -> None:
    events = [{"stream": "bestpatch: the image has no git"}, {"error": "code 3"}]
    with pytest.raises(EnvironmentUnavailable, match="the image has no git"):
        Scripted(events).feed()


def test_what_a_build_left_out_is_said_and_is_no_reason() -> None:
    said: list[str] = []
    builder = Scripted(
        [{"stream": "x\n"}, {"stream": "bestpatch: note: a.txt was left out\nmore\n"}, {"error": "code 3"}]
    )
    builder.say = said.append
    with pytest.raises(EnvironmentUnavailable, match="could not be built: code 3"):
        builder.feed()
    assert said == ["note: a.txt was left out"]


def test_a_build_has_a_deadline_and_can_be_interrupted() -> None:
    with pytest.raises(EnvironmentUnavailable, match=r"raise sandbox\.build_seconds"):
        Scripted([{"stream": "x"}, {"stream": "y"}], build_seconds=1e-9).feed()
    interrupted = Scripted([{"stream": "x"}])
    interrupted.cancelled.set()
    with pytest.raises(EnvironmentUnavailable, match="interrupted"):
        interrupted.feed()


def test_a_build_that_finds_the_disk_full_says_so() -> None:
    with pytest.raises(DiskFull, match="bestpatch prune"):
        Scripted([{"error": "write /x: No space left on device"}]).feed()


def refusing(monkeypatch: pytest.MonkeyPatch, why: str) -> list[str]:
    """Every pull is refused; gives the names that were asked for."""
    asked: list[str] = []

    def refuse(self: Builder, name: str) -> None:
        asked.append(name)
        raise EnvironmentUnavailable(why)

    monkeypatch.setattr(Builder, "_pull", refuse)
    monkeypatch.setattr(module, "FIRST_WAIT_SECONDS", 0.01)
    return asked


def test_a_refusal_is_remembered_for_an_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = refusing(monkeypatch, "no such host")
    for _ in range(3):
        with pytest.raises(EnvironmentUnavailable, match=r"no such host.*Check the network"):
            Scripted([], cache=tmp_path).pull("python:3.11-slim")
    assert asked == ["python:3.11-slim"]
    later = time.time() + 3601
    monkeypatch.setattr("sandbox.registry.time.time", lambda: later)
    with pytest.raises(EnvironmentUnavailable):
        Scripted([], cache=tmp_path).pull("python:3.11-slim")
    assert len(asked) == 2


def test_a_passing_refusal_is_tried_again_and_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = refusing(monkeypatch, "toomanyrequests: slow down")
    for tries in (PULL_TRIES, 2 * PULL_TRIES):
        builder = Scripted([], cache=tmp_path)
        with pytest.raises(EnvironmentUnavailable, match="try later, or log in"):
            builder.pull("x:1")
        assert len(asked) == tries
        assert f"try {PULL_TRIES - 1} of {PULL_TRIES}" in builder.said[-1]


def test_a_command_that_failed_is_no_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = refusing(monkeypatch, "The command 'curl x || echo HTTP 500' returned a non-zero code: 1: unexpected EOF")
    with pytest.raises(EnvironmentUnavailable):
        Scripted([], cache=tmp_path).pull("x:1")
    assert len(asked) == 1


def test_only_a_base_image_that_does_not_come_is_explained_as_one() -> None:
    base = [{"stream": "Step 1/2 : FROM x:1\n"}, {"error": "manifest for x:1 not found: manifest unknown"}]
    with pytest.raises(EnvironmentUnavailable, match="Check the name and tag"):
        Scripted(base).feed()
    copy = [
        {"stream": "Step 1/2 : FROM x\n"},
        {"stream": "Step 2/2 : COPY a b\n"},
        {"error": "COPY failed: a not found"},
    ]
    with pytest.raises(EnvironmentUnavailable) as caught:
        Scripted(copy).feed()
    assert "Check the name" not in str(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        "failed to get digest sha256:97c4: open /var/lib/x: no such file or directory",
        "failed to export image: failed to set parent sha256:5fec: unknown parent image ID sha256:5fec",
    ],
)
def test_a_cached_layer_that_was_removed_meanwhile_is_built_again(error: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_WAIT_SECONDS", 0.0)
    errors = [error]

    def build(builder: Scripted, *_: object) -> None:
        builder.events = [{"stream": "Step 1/1 : FROM x\n"}, *({"error": errors.pop()} for _ in errors[:1])]
        builder.feed()

    monkeypatch.setattr(Builder, "_build", build)
    builder = Scripted([])
    builder.build(io.BytesIO(), "x:1", arguments={}, labels={})
    assert errors == []
    assert any("trying again" in line for line in builder.said)


def test_an_interrupted_pull_does_not_wait_for_its_next_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = refusing(monkeypatch, "toomanyrequests")
    builder = Scripted([], cache=tmp_path)
    builder.cancelled.set()
    with pytest.raises(EnvironmentUnavailable, match="interrupted"):
        builder.pull("x:1")
    assert asked == ["x:1"]
    assert not (tmp_path / "registry.json").exists()


def test_a_broken_memory_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "registry.json").write_text("[not json")
    pulled: list[str] = []
    monkeypatch.setattr(Builder, "_pull", lambda _, name: pulled.append(name))
    Scripted([], cache=tmp_path).pull("x:1")
    assert pulled == ["x:1"]
    refusing(monkeypatch, "no such host")
    with pytest.raises(EnvironmentUnavailable):
        Scripted([], cache=tmp_path).pull("x:1")
    with pytest.raises(EnvironmentUnavailable, match="remembered"):
        Scripted([], cache=tmp_path).pull("x:1")
