"""The command in a process of its own, with a scripted model, on a machine without an engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.walls import why_not
from tests.harness.conftest import ISSUE

pytestmark = [
    pytest.mark.bubblewrap,
    pytest.mark.timeout(900),
    pytest.mark.skipif(why_not() is not None, reason="no user namespaces, or no bwrap"),
]


def test_the_whole_way_without_an_engine(repo: Path, rules: Path, tmp_path: Path, free_port: int) -> None:
    command = [
        sys.executable,
        "-m",
        "harness.cli",
        "solve",
        str(repo),
        "--issue",
        f"{ISSUE}\nI expected 3.\n",
        "--candidates",
        "3",
    ]
    done = subprocess.run(
        [*command, "--model", f"scripted:{rules}", "--out", str(tmp_path / "out")],
        cwd=tmp_path,
        env={
            **os.environ,
            "DOCKER_HOST": f"tcp://127.0.0.1:{free_port}",
            "BESTPATCH_CACHE": str(tmp_path / "cache"),
            "PYTHONPATH": str(Path(__file__).parents[2]),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["status"] == "selected"
    assert "return a + b" in result["patch"]
    # The session shows what is wrong today, and has no vote; what was expected instead is a script that has one.
    examples = {script["id"]: script["valid"] for script in result["scripts"] if script["trajectory"] == "issue"}
    assert examples == {"script-issue-0": False, "script-issue-1": True}
    assert "It passes the example of the issue." in result["reasons"]
