"""Base images: where an interpreter is found, what is copied of it, and what is said when there is none."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sandbox import base_image
from sandbox.base_image import Interpreter, ensure_base, find_interpreters, interpreter_files
from sandbox.builder import Builder
from sandbox.client import Client
from sandbox.errors import EnvironmentUnavailable
from sandbox.settings import DockerSettings


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BESTPATCH_CACHE", str(tmp_path / "cache"))


def fake_python(prefix: Path, version: str) -> Interpreter:
    library = prefix / "lib" / f"python{version}"
    for path in ("os.py", "json/__init__.py", "json/__pycache__/x.pyc", "test/test_x.py", "site-packages/other/x.py"):
        (library / path).parent.mkdir(parents=True, exist_ok=True)
        (library / path).write_text("")
    (library / "config").mkdir()
    (library / "config" / "libpython.a").write_text("")
    (prefix / "bin").mkdir()
    for name in (f"python{version}", "pip", f"python{version}-config"):
        (prefix / "bin" / name).write_text("")
    return Interpreter(version, prefix)


def test_interpreters_are_found_where_pyenv_and_uv_keep_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_python(tmp_path / "pyenv" / "versions" / "3.9.1", "3.9")
    newest = fake_python(tmp_path / "pyenv" / "versions" / "3.9.18", "3.9")
    other = fake_python(tmp_path / "uv" / "cpython-3.12.1-linux", "3.12")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(tmp_path / "uv"))
    found = {each.version: each for each in find_interpreters()}
    assert found["3.9"] == newest
    assert found["3.12"] == other
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    if sys.base_prefix != "/usr":
        assert running in found


def test_site_packages_caches_tests_and_static_libraries_stay_behind(tmp_path: Path) -> None:
    interpreter = fake_python(tmp_path / "p", "3.9")
    names = {str(path.relative_to(interpreter.prefix)) for path in interpreter_files(interpreter)}
    assert names == {"bin/python3.9", "lib/python3.9/os.py", "lib/python3.9/json/__init__.py"}


class NoRegistry(Client):
    """An engine with some images and no registry."""

    def __init__(self, *images: str) -> None:
        super().__init__(None, 1.0)
        self.images = images

    def info(self) -> Mapping[str, Any]:
        return {"ID": "none"}

    def image(self, name: str) -> Any:
        return {"Id": name} if name in self.images else None


class NoPull(Builder):
    def __init__(self, *images: str) -> None:
        settings = DockerSettings(cache=Path(os.environ["BESTPATCH_CACHE"]))
        super().__init__(NoRegistry(*images), settings, lambda _: None, threading.Event())
        self.pulled: list[str] = []

    def pull(self, name: str) -> None:
        self.pulled.append(name)
        raise EnvironmentUnavailable(f"no {name} here")


def test_what_is_there_is_used_without_asking_anyone() -> None:
    builder = NoPull("bestpatch/python:3.11", "mine:1")
    assert ensure_base(builder, "python:3.11") == "bestpatch/python:3.11"
    assert ensure_base(builder, "mine:1") == "mine:1"
    assert builder.pulled == []


def test_the_slim_image_is_asked_for_first() -> None:
    builder = NoPull()
    with pytest.raises(EnvironmentUnavailable):
        ensure_base(builder, "python:3.99")
    assert builder.pulled == ["python:3.99-slim", "python:3.99"]


def test_a_version_that_is_not_to_be_had_names_those_that_are(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [Interpreter("3.9", Path("/x")), Interpreter("3.10", Path("/y"))]
    monkeypatch.setattr(base_image, "find_interpreters", lambda: iter(found))
    with pytest.raises(EnvironmentUnavailable) as caught:
        ensure_base(NoPull(), "python:3.99")
    for words in ("3.99", "no python:3.99-slim here", "3.9, 3.10", "pyenv install 3.99", "uv python install"):
        assert words in str(caught.value)


def test_another_image_that_cannot_be_pulled_is_not_replaced_by_ours() -> None:
    with pytest.raises(EnvironmentUnavailable, match="no node:20 here"):
        ensure_base(NoPull("bestpatch/python:3.11"), "node:20")


def test_a_system_that_cannot_make_one_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_image, "find_interpreters", lambda: iter([Interpreter("3.99", Path("/x"))]))
    monkeypatch.setattr(base_image, "libraries", lambda _: ([], []))
    monkeypatch.setattr(base_image.platform, "freedesktop_os_release", lambda: {"ID": "fedora"})
    with pytest.raises(EnvironmentUnavailable, match="registry mirror or proxy"):
        ensure_base(NoPull(), "python:3.99")


def test_without_root_the_missing_tool_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_image, "run_host", lambda *_: (127, ""))
    monkeypatch.setattr(base_image.os, "geteuid", lambda: 1000)
    with pytest.raises(EnvironmentUnavailable, match="sudo apt-get install mmdebstrap"):
        base_image._ensure_mmdebstrap(NoPull())  # pyright: ignore[reportPrivateUsage]
