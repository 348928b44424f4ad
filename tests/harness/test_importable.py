"""Packages that cannot be imported in their environment are known before the first trajectory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from agent.model.scripted import ScriptedModel, load_scripted
from harness.config import LimitSettings, SelectionSettings, Settings
from harness.importable import Importable, modules, packages, try_import
from harness.result import Status
from harness.solve import solve
from harness.tasks import local_task
from sandbox.base import Execution, Limits, RepoPath
from tests.harness.conftest import FILES, ISSUE
from tests.harness.host_sandbox import HostBackend, HostWorkspace


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


@pytest.mark.parametrize(
    ("paths", "found"),
    [
        (["solution.py", "setup.py", "conftest.py", "a/b.py", "not-a-name.py", "README.md"], ("solution",)),
        (["solution.py", "tests/__init__.py"], ("solution",)),
        (["setupext.py", "lib/large/__init__.py"], ()),  # how long the small one takes says nothing of the large one
    ],
)
def test_modules_at_the_root(paths: list[str], found: tuple[str, ...]) -> None:
    assert modules({RepoPath(path): b"" for path in paths}) == found


@pytest.mark.parametrize(
    ("took", "seconds", "cpu"),
    [(None, 100.0, None), (0.1, 7.0, 1), (0.21, 9.2, 3), (2.0, 45.0, 20), (60.0, 100.0, 100)],
)
def test_a_script_may_take_a_multiple_of_what_the_import_took(
    took: float | None, seconds: float, cpu: int | None
) -> None:
    found = Importable(seconds=took).deadline(Limits(memory_bytes=7))
    assert found.seconds == pytest.approx(seconds)
    assert found.cpu_seconds == cpu
    assert found.memory_bytes == 7


@pytest.mark.parametrize("given", [None, 2.0])
async def test_scripts_have_the_deadline_given_or_one_by_the_import(
    make_repo: Callable[..., Path],
    settings: Settings,
    model: ScriptedModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: float | None,
) -> None:
    asked: list[float] = []
    took: list[float] = []
    run = HostWorkspace.run

    async def noted(self: HostWorkspace, argv: Sequence[str], **how: Any) -> Execution:
        asked.append(how["limits"].seconds)
        execution = await run(self, argv, **how)
        took.append(execution.seconds)
        return execution

    monkeypatch.setattr(HostWorkspace, "run", noted)
    mine = settings.model_copy(update={"limits": LimitSettings(seconds=given)})
    task = local_task(make_repo(FILES, "shop"), ISSUE, mine)
    result = await solve(task, mine, out=tmp_path / "out", model=model, backend=HostBackend())
    assert result.status is Status.SELECTED
    first, *scripts = asked
    assert first == 60.0
    assert scripts
    assert set(scripts) == {given or Importable(seconds=took[0]).deadline(Limits()).seconds}
    # Going on asks the same, and so is answered from the journal.
    asked.clear()
    await solve(task, mine, out=tmp_path / "out", model=model, backend=HostBackend())
    assert asked == []


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


async def test_an_import_that_fails_says_nothing_of_the_deadline(
    make_repo: Callable[..., Path], settings: Settings
) -> None:
    task = local_task(make_repo({"app.py": "import nowhere_at_all\n"}, "shop"), ISSUE, settings)
    sandbox = await HostBackend().open(task.environment, task.snapshot, run_id="imports")
    found = await try_import(sandbox, await sandbox.tree(), Limits())
    assert found == Importable()
    assert found.deadline(Limits()) == Limits()


async def test_one_that_ends_the_interpreter_is_none(
    make_repo: Callable[..., Path], settings: Settings, model: ScriptedModel, tmp_path: Path
) -> None:
    files = {**FILES, "shop/__init__.py": "import os\nos._exit(0)\n"}
    task = local_task(make_repo(files, "shop"), ISSUE, settings)
    result = await solve(task, settings, out=tmp_path / "out", model=model, backend=HostBackend())
    assert result.warnings == ()
