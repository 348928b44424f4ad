"""Build contexts, the build's log, and refusals that are remembered."""

from __future__ import annotations

import io
import tarfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from sandbox import builder as module
from sandbox.builder import Builder, Context, context_of
from sandbox.client import Client
from sandbox.errors import EnvironmentUnavailable
from sandbox.settings import DockerSettings


def members(data: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name: member for member in tar}


def snapshot(path: Path, *entries: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w") as tar:
        for entry in entries:
            tar.addfile(entry, io.BytesIO(b"x" * entry.size))
    return path


def entry(name: str, kind: bytes = tarfile.REGTYPE, **more: Any) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.size = kind, 1 if kind == tarfile.REGTYPE else 0
    for key, value in more.items():
        setattr(member, key, value)
    return member


def test_a_snapshot_is_taken_over_without_owners_and_devices(tmp_path: Path) -> None:
    tar = snapshot(
        tmp_path / "s.tar",
        entry("./a b", mode=0o755, uid=7, uname="me"),
        entry("d", tarfile.DIRTYPE, mode=0o755),
        entry("d/link", tarfile.SYMTYPE, linkname="../a b"),
        entry("d/hard", tarfile.LNKTYPE, linkname="./a b"),
        entry("dev", tarfile.CHRTYPE),
        entry("\udcffodd"),
        entry("long/" * 60 + "\u00fc"),
    )
    paths: list[str] = []
    with context_of(lambda context: paths.extend(context.add_snapshot(tar, "repository"))) as file:
        found = members(file.read())
    assert paths == ["a b", "d/link", "d/hard", "\udcffodd", "long/" * 60 + "\u00fc"]
    assert set(found) == {"repository/d", *(f"repository/{path}" for path in paths)}
    assert (found["repository/a b"].mode & 0o111, found["repository/a b"].uid) == (0o111, 0)
    assert found["repository/d/link"].linkname == "../a b"
    assert (found["repository/d/hard"].isreg(), found["repository/d/hard"].size) == (True, 1)


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x", ".git/config", "a/.git/hooks/x"])
def test_a_snapshot_with_foreign_paths_is_refused(tmp_path: Path, name: str) -> None:
    tar = snapshot(tmp_path / "s.tar", entry(name))
    with (
        pytest.raises(EnvironmentUnavailable, match="does not belong"),
        context_of(lambda context: context.add_snapshot(tar, "repository") and None),
    ):
        pass


class Scripted(Builder):
    """A builder whose engine's answers are given."""

    def __init__(self, events: list[dict[str, str]], **settings: Any) -> None:
        super().__init__(Client(None, 1), DockerSettings(**settings), lambda _: None, threading.Event())
        self.events = events

    def feed(self) -> None:
        log: Any = module.deque(maxlen=5)
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


def test_a_build_has_a_deadline_and_can_be_interrupted() -> None:
    with pytest.raises(EnvironmentUnavailable, match=r"raise sandbox\.build_seconds"):
        Scripted([{"stream": "x"}, {"stream": "y"}], build_seconds=1e-9).feed()
    interrupted = Scripted([{"stream": "x"}])
    interrupted.cancelled.set()
    with pytest.raises(EnvironmentUnavailable, match="interrupted"):
        interrupted.feed()


def test_a_refusal_is_remembered_for_an_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    asked: list[str] = []

    def refuse(self: Builder, name: str) -> None:
        asked.append(name)
        raise EnvironmentUnavailable("no such host")

    monkeypatch.setattr(Builder, "_pull", refuse)
    for _ in range(3):
        with pytest.raises(EnvironmentUnavailable, match="no such host"):
            Scripted([]).pull("python:3.11-slim")
    assert asked == ["python:3.11-slim"]
    later = time.time() + 3601
    monkeypatch.setattr(module.time, "time", lambda: later)
    with pytest.raises(EnvironmentUnavailable):
        Scripted([]).pull("python:3.11-slim")
    assert len(asked) == 2


def test_a_broken_memory_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "bestpatch").mkdir()
    (tmp_path / "bestpatch" / "registry.json").write_text("[not json")
    pulled: list[str] = []
    monkeypatch.setattr(Builder, "_pull", lambda _, name: pulled.append(name))
    Scripted([]).pull("x:1")
    assert pulled == ["x:1"]


def test_files_of_this_machine_lose_their_owner(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    (tmp_path / "l").symlink_to("f")

    def fill(context: Context) -> None:
        context.add_file("f", tmp_path / "f")
        context.add_file("l", tmp_path / "l")

    with context_of(fill) as file:
        found = members(file.read())
    assert found["l"].linkname == "f"
    assert {(member.uid, member.uname) for member in found.values()} == {(0, "")}
