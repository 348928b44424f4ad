"""Several processes of a batch on a machine without an engine: they share unpacked images, not sandboxes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.walls import why_not
from tests.faults.drive_batch import MODEL, answer
from tests.harness.conftest import ISSUE, git

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from answers import AnswerServer

pytestmark = [
    pytest.mark.bubblewrap,
    pytest.mark.timeout(900),
    pytest.mark.skipif(why_not() is not None, reason="no user namespaces, or no bwrap"),
]


def test_two_processes_use_the_same_image(repo: Path, tmp_path: Path) -> None:
    base = {"repo": "test/repo", "base_commit": git(repo, "rev-parse", "HEAD").strip(), "repo_path": str(repo)}
    rows = [
        {"instance_id": f"calc-{number}", "problem_statement": f"{ISSUE}\n{number}\n", **base} for number in range(4)
    ]
    (tmp_path / "instances.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    environment = {
        **os.environ,
        "BESTPATCH_CACHE": str(tmp_path / "cache"),
        "BESTPATCH_SANDBOX__BACKEND": "bubblewrap",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    with AnswerServer(answer, MODEL) as server:
        command = [sys.executable, "-m", "harness.cli", "batch", "instances.jsonl", "--run", "run", "--processes", "2"]
        more = ["--candidates", "3", "--model", f"openai:{MODEL}@{server.url}"]
        done = subprocess.run([*command, *more], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "4 tasks: 4 selected" in done.stdout
    lines = (tmp_path / "run" / "predictions.jsonl").read_text().splitlines()
    patches = [json.loads(line)["model_patch"] for line in lines]
    assert len(patches) == 4
    assert all("-    return a - b" in patch for patch in patches)
    assert len({path.read_text() for path in (tmp_path / "run").glob("tasks/*/lock")}) == 2
