"""An engine is found, started, or asked for in so many words."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox import engine
from sandbox.engine import dockerd_command, ensure_engine, why_not_here
from sandbox.errors import EngineUnavailable


@pytest.mark.docker
def test_nothing_is_done_where_an_engine_answers() -> None:
    said: list[str] = []
    ensure_engine(said.append)
    assert said == []


def test_an_engine_elsewhere_is_not_replaced() -> None:
    with pytest.raises(EngineUnavailable, match=r"127\.0\.0\.1:1 does not answer"):
        ensure_engine(url="tcp://127.0.0.1:1")


def test_an_engine_that_accepts_and_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_ANSWER_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(EngineUnavailable, match="does not answer"):
            ensure_engine(url=f"tcp://127.0.0.1:{port}")


@pytest.mark.parametrize(
    ("system", "uid", "release", "words"),
    [
        ("Darwin", 501, "", "Docker Desktop"),
        ("Linux", 0, "fedora", "package manager"),
        ("Linux", 1000, "debian", "usermod -aG docker"),
        ("Linux", 1000, "ubuntu", "apt-get install docker.io"),
    ],
)
def test_where_it_cannot_be_installed_it_says_what_to_do(system: str, uid: int, release: str, words: str) -> None:
    assert words in (why_not_here(system, uid, release) or "")


def test_root_on_debian_may_install() -> None:
    assert why_not_here("Linux", 0, "debian") is None
    assert why_not_here("Linux", 0, "ubuntu") is None


def test_without_root_nothing_is_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("something was run")

    monkeypatch.setattr(engine.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(engine, "run_host", never)
    monkeypatch.setattr(engine.subprocess, "Popen", never)
    with pytest.raises(EngineUnavailable):
        ensure_engine(url=f"unix://{tmp_path}/none.sock")


def test_a_missing_engine_is_installed_and_started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ran: list[list[str]] = []
    started: list[str] = []

    def run(argv: list[str], *_: object) -> tuple[int, str]:
        ran.append(argv)
        return 0, ""

    def start(driver: str, _: str | None) -> bool:
        started.append(driver)
        return driver == "vfs"

    monkeypatch.setattr(engine.os, "geteuid", lambda: 0)
    monkeypatch.setattr(engine, "_release", lambda: "debian")
    monkeypatch.setattr(engine.shutil, "which", lambda _: None)
    monkeypatch.setattr(engine, "run_host", run)
    monkeypatch.setattr(engine, "_start", start)
    ensure_engine(url=f"unix://{tmp_path}/none.sock")
    assert [argv[:2] for argv in ran] == [["apt-get", "update"], ["apt-get", "install"]]
    assert "docker.io" in ran[1]
    assert started == ["overlay2", "vfs"]


def test_a_failing_installation_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(engine.os, "geteuid", lambda: 0)
    monkeypatch.setattr(engine, "_release", lambda: "debian")
    monkeypatch.setattr(engine.shutil, "which", lambda _: None)
    monkeypatch.setattr(engine, "run_host", lambda *_: (100, "E: no network"))
    with pytest.raises(EngineUnavailable, match="no network"):
        ensure_engine(url=f"unix://{tmp_path}/none.sock")


def test_a_daemon_that_dies_is_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(engine, "dockerd_command", lambda *_: ["sh", "-c", "echo told; exit 1"])
    monkeypatch.setattr(engine, "LOG", tmp_path / "log")
    assert engine._start("overlay2", f"unix://{tmp_path}/none.sock") is False  # pyright: ignore[reportPrivateUsage]
    assert (tmp_path / "log").read_text() == "told\n"


def test_the_daemons_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    assert dockerd_command("vfs") == ["dockerd", "--storage-driver=vfs"]
    assert dockerd_command("vfs", "unix:///x") == ["dockerd", "--storage-driver=vfs", "--host=unix:///x"]


def test_the_command_ends_with_4_where_no_engine_is_to_be_had() -> None:
    env = {**os.environ, "DOCKER_HOST": "tcp://127.0.0.1:1"}
    argv = [sys.executable, "-m", "sandbox.engine"]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 4
    assert "unset DOCKER_HOST" in done.stderr
    assert "Traceback" not in done.stderr
