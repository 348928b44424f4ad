"""The command in a process of its own, with a scripted model and real containers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import docker
import pytest

from sandbox.profile import RUN
from tests.harness.conftest import ISSUE, git

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900), pytest.mark.xdist_group("docker")]

SLOW = """
[[rule]]
stage = "editing"
trajectory = "*-2"
delay = 600
answers = ["never"]
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for the module: images are the engine's anyway."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def command(repo: Path, cache: Path, tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts `bestpatch solve` on the repository."""

    def start(*args: str | Path) -> subprocess.Popen[str]:
        base = [sys.executable, "-m", "harness.cli", "solve", str(repo), "--issue", ISSUE, "--candidates", "3"]
        return subprocess.Popen(
            [*base, *map(str, args)],
            cwd=tmp_path,
            env={**os.environ, "BESTPATCH_CACHE": str(cache), "PYTHONPATH": str(Path(__file__).parents[2])},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def containers_of(process: int) -> list[str]:
    """Names of the containers whose labels say that a process made them."""
    client = docker.from_env()
    try:
        # Those of other tests come and go meanwhile.
        found = client.containers.list(all=True, filters={"label": RUN}, ignore_removed=True)
        return [each.name for each in found if str(process) in each.labels.values()]
    finally:
        client.close()


Start = Callable[..., "subprocess.Popen[str]"]


def test_solve_resume_and_apply(command: Start, repo: Path, rules: Path, tmp_path: Path) -> None:
    git(repo, "config", "user.name", "Somebody")
    git(repo, "config", "user.email", "somebody@localhost")
    (repo / "calc.py").write_text("# being worked on\n")
    (repo / "untracked.py").write_text("mine\n")
    status = git(repo, "status", "--porcelain")
    first = command("--model", f"scripted:{rules}", "--out", "run", "--apply", "fix")
    out, err = first.communicate(timeout=800)
    assert first.returncode == 0, err + out
    assert "Traceback" not in err + out
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert result["status"] == "selected"
    assert "+    return a + b" in result["patch"]
    assert result["regression"]["passing"] == 1
    assert result["manifest"]["image_digest"].startswith("sha256:")
    assert "sha256:" in result["manifest"]["base_image"]
    assert git(repo, "show", "fix:calc.py").startswith('def add(a, b):\n    """The sum."""\n    return a + b\n')
    assert git(repo, "log", "-1", "--format=%an", "fix").strip() == "Somebody"
    assert git(repo, "status", "--porcelain") == status
    assert (repo / "calc.py").read_text() == "# being worked on\n"
    assert containers_of(first.pid) == []
    # A model that knows no answer is enough for a second run: every one is in the journal.
    silent = tmp_path / "rules.toml"
    silent.write_text('[[rule]]\nmatch = "never asked"\nanswers = ["x"]\n')
    again = command("--model", f"scripted:{rules}", "--out", "run", "--json")
    out, err = again.communicate(timeout=300)
    assert again.returncode == 0, err
    second = json.loads(out)
    for key in ("winner", "patch", "candidates", "matrix", "usage", "sandbox_seconds"):
        assert second[key] == result[key], key


def test_ctrl_c_leaves_a_partial_result_and_no_container(command: Start, rules: Path, tmp_path: Path) -> None:
    slow = tmp_path / "slow.toml"
    slow.write_text(SLOW + rules.read_text())
    process = command("--model", f"scripted:{slow}", "--out", "run")
    journal = tmp_path / "run/journal.sqlite"
    deadline = time.monotonic() + 600
    assert process.stderr is not None
    waiting = {"trajectory-0: editing", "trajectory-1: editing"}  # the third waits for its model
    for line in process.stderr:
        waiting -= {words for words in waiting if words in line}
        if not waiting:
            break
        assert time.monotonic() < deadline
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err + out
    assert "Traceback" not in err + out
    assert "interrupted" in out
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert result["status"] == "interrupted"
    assert [candidate["trajectory"] for candidate in result["candidates"]] == ["trajectory-0", "trajectory-1"]
    assert (tmp_path / "run/report.html").is_file()
    assert containers_of(process.pid) == []
    assert journal.is_file()
    # The same directory, with a model that answers: only the third trajectory is left to do.
    slow.write_text(rules.read_text())
    again = command("--model", f"scripted:{slow}", "--out", "run")
    out, err = again.communicate(timeout=300)
    assert again.returncode == 0, err + out
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert len(result["candidates"]) == 3


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_the_image_is_built(command: Start, rules: Path, tmp_path: Path, sent: signal.Signals) -> None:
    """In a step that prints nothing; SIGHUP is what a closed terminal sends."""
    process = command("--model", f"scripted:{rules}", "--out", "run", "--install", "sleep 300; echo unique-7319")
    assert process.stderr is not None
    for line in process.stderr:
        if "environment: " in line and "begins" in line:
            break
    time.sleep(3)
    process.send_signal(sent)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err + out
    assert json.loads((tmp_path / "run/result.json").read_text())["status"] == "interrupted"
    assert containers_of(process.pid) == []


def test_an_environment_that_does_not_build_shows_the_end_of_its_log(
    command: Start, rules: Path, tmp_path: Path
) -> None:
    process = command("--model", f"scripted:{rules}", "--out", "run", "--install", "echo no luck today; exit 7")
    out, err = process.communicate(timeout=600)
    assert process.returncode == 4, err + out
    assert "EnvironmentUnavailable" in out
    assert "no luck today" in out
    assert "--install" in out
    assert "Traceback" not in err + out
    assert "no luck today" in json.loads((tmp_path / "run/result.json").read_text())["error"]["log"]


def test_no_disk(command: Start, rules: Path, tmp_path: Path) -> None:
    config = tmp_path / "settings.toml"
    config.write_text('[sandbox]\nfree_disk_bytes = "1000t"\n')
    process = command("--model", f"scripted:{rules}", "--out", "run", "--config", config)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 4, err + out
    assert "DiskFull" in out
    assert "sandbox.free_disk_bytes" in out
    assert "Traceback" not in err + out
