"""Packages that cannot be imported in their environment are known before the first trajectory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from agent.model.scripted import ScriptedModel, load_scripted
from harness.config import SelectionSettings, Settings
from harness.importable import packages
from harness.result import Status
from harness.solve import solve
from harness.tasks import local_task
from sandbox.base import RepoPath
from tests.harness.conftest import FILES, ISSUE
from tests.harness.host_sandbox import HostBackend


@pytest.fixture
def settings() -> Settings:
    return Settings(candidates=2, selection=SelectionSettings(regression_seconds=0.0))


@pytest.fixture
def model(rules: Path) -> ScriptedModel:
    return load_scripted(rules)


@pytest.mark.parametrize(
    ("paths", "found"),
    [
        (["a/__init__.py", "a/b/__init__.py", "c.py", "tests/__init__.py"], ("a",)),
        (["src/a/__init__.py", "src/__init__.py", "docs/__init__.py"], ("a", "src")),
        (["lib/a/__init__.py", "not-a-name/__init__.py", "__init__.py"], ()),
    ],
)
def test_packages(paths: list[str], found: tuple[str, ...]) -> None:
    assert packages({RepoPath(path): b"" for path in paths}) == found


async def test_a_package_that_cannot_be_imported_is_a_warning(
    make_repo: Callable[..., Path], settings: Settings, model: ScriptedModel, tmp_path: Path
) -> None:
    files = {**FILES, "shop/__init__.py": "from json import loads, quote\n", "well/__init__.py": "print('hello')\n"}
    task = local_task(make_repo(files, "shop"), ISSUE, settings)
    result = await solve(task, settings, out=tmp_path / "out", model=model, backend=HostBackend())
    assert result.status is Status.SELECTED
    (warning,) = result.warnings
    assert "`import shop` fails" in warning
    assert "cannot import name 'quote' from 'json'" in warning
    assert "--install" in warning
    assert "Warning:" in (tmp_path / "out" / "report.html").read_text()
    # Going on says the same.
    again = await solve(task, settings, out=tmp_path / "out", model=model, backend=HostBackend())
    assert again.warnings == result.warnings


async def test_one_that_ends_the_interpreter_is_none(
    make_repo: Callable[..., Path], settings: Settings, model: ScriptedModel, tmp_path: Path
) -> None:
    files = {**FILES, "shop/__init__.py": "import os\nos._exit(0)\n"}
    task = local_task(make_repo(files, "shop"), ISSUE, settings)
    result = await solve(task, settings, out=tmp_path / "out", model=model, backend=HostBackend())
    assert result.warnings == ()
