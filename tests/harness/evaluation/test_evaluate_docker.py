"""Grading in real containers: candidates that cheat, hang, do not apply; flaky tests; the command from a shell."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.config import Settings
from harness.evaluation.evaluate import Grading, evaluate
from harness.evaluation.job import Job
from harness.evaluation.record import Evaluation, Outcome
from harness.instances import Instance
from sandbox.base import Patch
from tests.harness.evaluation.conftest import ADD, OLD_TESTS, patch_of

pytestmark = [pytest.mark.docker, pytest.mark.anyio, pytest.mark.timeout(900), pytest.mark.xdist_group("docker")]

SETTINGS = Settings.model_validate({"sandbox": {"backend": "docker"}})


async def graded(instance: Instance, patches: dict[str, str], run: Path, **grading: Any) -> dict[str, Evaluation]:
    jobs = [Job(instance, Patch(patch), name) for name, patch in patches.items()]
    found = await evaluate(jobs, SETTINGS, Grading(**grading), run)
    return {evaluation.system: evaluation for evaluation in found}


async def test_candidates(instance: Instance, candidates: dict[str, str], tmp_path: Path) -> None:
    found = await graded(instance, candidates, tmp_path / "run", seconds=20.0)
    assert {name: evaluation.outcome.value for name, evaluation in found.items()} == {
        **dict.fromkeys(("right", "fixes_and_edits_tests", "removes_tests", "fixes_and_steers"), "resolved"),
        "folder_for_tests": "resolved",
        **dict.fromkeys(("wrong", "breaks", "edits_tests", "steers"), "unresolved"),
        **dict.fromkeys(("forges", "forges_and_leaves", "forges_at_exit"), "unresolved"),
        "hangs": "timed_out",
        "unapplicable": "patch_rejected",
    }
    assert found["steers"].reason == "it passes only with its changes to conftest.py"
    assert found["forges_at_exit"].notes[0].startswith(f"the log claims that {ADD}")
    assert found["hangs"].reason == "the tests did not end within 20 s"
    assert "returned non-zero" not in found["right"].reason
    assert found["right"].image.startswith("sha256:")


async def test_a_flaky_test(row: dict[str, Any], calc: Path, tmp_path: Path) -> None:
    """Of 20 runs it passes in all, or in none, once in half a million times."""
    flaky = OLD_TESTS + "\n\ndef test_add():\n    import os\n    assert os.urandom(1)[0] < 128\n"
    change = {"test_patch": patch_of(calc, {"tests/test_calc.py": flaky}), "repo_path": str(calc)}
    instance = Instance.model_validate({**row, **change})
    found = await graded(instance, {"gold": row["patch"]}, tmp_path / "run", repeat=20)
    assert found["gold"].flaky == (ADD,)


async def test_an_image_that_is_not_there(row: dict[str, Any], calc: Path, tmp_path: Path) -> None:
    environment = {"image": "bestpatch-tests/none:0", "test_cmd": "pytest"}
    instance = Instance.model_validate({**row, "environment": environment, "repo_path": str(calc)})
    found = await graded(instance, {"gold": row["patch"]}, tmp_path / "run")
    assert found["gold"].outcome is Outcome.INFRASTRUCTURE


def test_the_command(row: dict[str, Any], write_rows: Any, tmp_path: Path) -> None:
    write_rows(row)
    command = [
        sys.executable,
        "-m",
        "harness.cli",
        "evaluate",
        "--gold",
        "--instances",
        "instances.jsonl",
        "--run",
        "run",
    ]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "all 1 as expected" in done.stdout
    assert json.loads((tmp_path / "run" / "report.json").read_text())["resolved_ids"] == ["acme__calc-1"]
    again = subprocess.run([*command, "--json"], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert json.loads(again.stdout)["resolved_instances"] == 1
    assert again.stderr.count("(kept)") == 2
