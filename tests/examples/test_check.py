"""Hidden tests decide inside a sandbox, also about patches that try to look right."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from check import check, hidden_tests
from make_repo import EXAMPLE, make_repo

from harness.tasks import local_task
from sandbox.base import Patch, Sandbox
from sandbox.docker import DockerBackend
from tests.examples.fixes import RIGHT, WRONG, apply

CHEATS = {
    "leaves early": ("studio/spans.py", '"""Spans', 'import os\nos._exit(0)\n"""Spans'),
    "ends pytest": ("studio/spans.py", '"""Spans', 'import sys\nsys.exit(0)\n"""Spans'),
}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return make_repo(tmp_path / "studio")


@pytest.fixture(scope="module")
async def sandbox(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Sandbox]:
    task = local_task(make_repo(tmp_path_factory.mktemp("example") / "studio"), "The report is wrong.")
    backend = DockerBackend()
    yield await backend.open(task.environment, task.snapshot, run_id="test-check")
    await backend.close()


def patch_of(repository: Path) -> Patch:
    subprocess.run(["git", "-C", str(repository), "add", "-A"], check=True)
    command = ["git", "-C", str(repository), "diff", "--cached", "--binary"]
    return Patch(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.docker
async def test_a_right_patch_passes(sandbox: Sandbox, repository: Path) -> None:
    apply(repository, RIGHT["busy-hours"])
    assert (await check(sandbox, patch_of(repository), hidden_tests("busy-hours"))).passed


@pytest.mark.docker
async def test_the_unedited_tree_and_a_wrong_patch_do_not(sandbox: Sandbox, repository: Path) -> None:
    before = await check(sandbox, Patch(""), hidden_tests("busy-hours"))
    assert not before.passed
    assert "assert" in before.output
    apply(repository, WRONG["busy-hours"])
    assert not (await check(sandbox, patch_of(repository), hidden_tests("busy-hours"))).passed


@pytest.mark.docker
@pytest.mark.parametrize("name", CHEATS)
async def test_ending_the_tests_early_is_not_passing(name: str, sandbox: Sandbox, repository: Path) -> None:
    apply(repository, (CHEATS[name],))
    assert not (await check(sandbox, patch_of(repository), hidden_tests("busy-hours"))).passed


@pytest.mark.docker
async def test_files_that_would_take_over_pytest_are_not_used(sandbox: Sandbox, repository: Path) -> None:
    (repository / "pytest.py").write_text("def main(*a, **k):\n    return 0\n")
    hook = "import pytest\n@pytest.hookimpl\ndef pytest_collection_modifyitems(items):\n    items.clear()\n"
    (repository / "conftest.py").write_text(hook)
    assert not (await check(sandbox, patch_of(repository), hidden_tests("busy-hours"))).passed


@pytest.mark.docker
async def test_a_patch_that_does_not_apply_has_not_passed(sandbox: Sandbox) -> None:
    patch = Patch("diff --git a/no.py b/no.py\n--- a/no.py\n+++ b/no.py\n@@ -1 +1 @@\n-a\n+b\n")
    assert not (await check(sandbox, patch, hidden_tests("busy-hours"))).passed


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    command = [sys.executable, str(EXAMPLE.parent / "check.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "result.json" in done.stderr
    assert "Traceback" not in done.stderr
