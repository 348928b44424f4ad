"""The commands in processes of their own, with a scripted model and real containers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from tests.faults.drive_batch import MODEL, answer
from tests.harness.conftest import ISSUE, git
from tests.harness.test_solve_docker import containers_of

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from answers import AnswerServer

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900), pytest.mark.xdist_group("docker")]
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def instances(repo: Path, tmp_path: Path) -> Path:
    """Two that can be solved, and one whose environment cannot be built."""
    base = {"repo": "test/repo", "base_commit": git(repo, "rev-parse", "HEAD").strip(), "repo_path": str(repo)}
    good = {"base": "python:3.11", "install": ["true"]}
    rows = [
        {"instance_id": "good-1", "problem_statement": ISSUE, "environment": good, **base},
        {"instance_id": "bad-1", "problem_statement": ISSUE, **base, "environment": {**good, "install": ["exit 7"]}},
        {"instance_id": "good-2", "problem_statement": f"{ISSUE}\nReally.\n", "environment": good, **base},
    ]
    path = tmp_path / "instances.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def start(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[Start]:
    cache = tmp_path_factory.getbasetemp() / "batch-cache"
    started: list[subprocess.Popen[str]] = []

    def start(*args: str | Path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "harness.cli", *map(str, args)],
            cwd=tmp_path,
            env={**os.environ, "BESTPATCH_CACHE": str(cache), "PYTHONPATH": str(Path(__file__).parents[2])},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str], code: int) -> tuple[str, str]:
    out, err = process.communicate(timeout=800)
    assert process.returncode == code, err + out
    assert "Traceback" not in err + out
    return out, err


def predictions(run: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (run / "predictions.jsonl").read_text().splitlines()]


def test_a_batch_that_is_killed_goes_on_and_its_candidates_can_be_chosen_among(
    start: Start, instances: Path, repo: Path, rules: Path, tmp_path: Path
) -> None:
    slow = tmp_path / "slow.toml"
    slow.write_text(rules.read_text().replace('stage = "editing"', 'stage = "editing"\ndelay = 1.0'))
    common = ("batch", instances, "--run", "run", "--candidates", "3", "--model", f"scripted:{slow}")
    process = start(*common)
    assert process.stderr is not None
    for line in process.stderr:
        if ": selected" in line:
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    out, err = ended(start(*common), 4)
    assert "3 tasks: 1 failed, 2 selected" in out
    assert " of them done already" in err
    run = tmp_path / "run"
    lines = {line["instance_id"]: line for line in json.loads((run / "summary.json").read_text())["lines"]}
    assert lines["bad-1"]["error"]["kind"] == "EnvironmentUnavailable"
    assert [line["instance_id"] for line in predictions(run)] == ["good-1", "good-2"]
    for line in predictions(run):
        # The round trip: a clean clone takes the patch, and holds nothing else afterwards.
        clone = tmp_path / f"clone-{line['instance_id']}"
        git(tmp_path, "clone", "-q", str(repo), str(clone))
        subprocess.run(["git", "apply", "-"], cwd=clone, input=line["model_patch"].encode(), check=True)
        assert git(clone, "status", "--porcelain").split() == ["M", "calc.py"]
        assert git(clone, "diff") == git(clone, "diff", "HEAD")
    deadline = time.monotonic() + 60
    while containers_of(process.pid):  # those of the killed process: the next one removed them
        assert time.monotonic() < deadline
    other = tmp_path / "other.jsonl"
    wrong = predictions(run)[0]["model_patch"].replace("a + b", "3")
    other.write_text(json.dumps({"instance_id": "good-1", "model_name_or_path": "x", "model_patch": wrong}) + "\n")
    barrel = (
        "select",
        instances,
        "--candidates",
        other,
        "--candidates",
        "run",
        "--run",
        "barrel",
        "--candidates",
        other,
    )
    out, err = ended(start(*barrel, "--scripts", "3", "--model", f"scripted:{rules}", "--json"), 0)
    assert "1 instances have no candidate" in err
    assert json.loads(out)["counts"] == {"selected": 2}
    assert "+    return a + b" in predictions(tmp_path / "barrel")[0]["model_patch"]
    assert "run/candidate-0" in (tmp_path / "barrel/tasks/good-1/report.html").read_text()


def test_two_processes_share_the_engine_and_the_jobs(start: Start, instances: Path, tmp_path: Path) -> None:
    with AnswerServer(answer, MODEL) as server:
        model = f"openai:{MODEL}@{server.url}"
        common = ("batch", instances, "--run", "run", "--candidates", "3", "--model", model)
        out, err = ended(start(*common, "--processes", "2"), 4)
    assert "] 2 processes" in err
    assert "3 tasks: 1 failed, 2 selected" in out
    assert [line["instance_id"] for line in predictions(tmp_path / "run")] == ["good-1", "good-2"]
    assert len({path.read_text() for path in (tmp_path / "run").glob("tasks/*/lock")}) == 2


def test_wrong_use_is_told_before_any_work(start: Start, instances: Path, tmp_path: Path) -> None:
    for args, why in (
        (("--only", "nothing*"), "matches no instance"),
        (("--shard", "9"), "write part and number of parts"),
        (("--run-budget", "gold=1"), "--run-budget"),
        (("--patience", "soon"), "--patience"),
        (("--model", "gpt-17"), "openai:MODEL@BASE_URL"),
    ):
        _, err = ended(start("batch", instances, "--run", "run", *args), 2)
        assert why in err
    _, err = ended(start("select", instances, "--run", "run", "--candidates", "none.jsonl"), 2)
    assert "none.jsonl" in err
    assert not (tmp_path / "run").exists()
