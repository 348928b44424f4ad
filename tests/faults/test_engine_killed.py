"""Row 20 of the faults: the container engine is killed in the middle of a batch. It is one of the test's own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path

import docker
import pytest

from harness.batch_record import BatchSummary
from harness.journal import FILE_NAME
from sandbox.profile import RUN
from tests.harness.conftest import ISSUE, RULES, git, make_repo

__all__ = ["make_repo"]

ROOT = Path(__file__).parents[2]
BASE = "bestpatch/python:3.11"
TASKS = 3
pytestmark = [pytest.mark.docker, pytest.mark.timeout(1500), pytest.mark.xdist_group("docker")]


class Engine:
    """A `dockerd` that may be killed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"unix://{folder}/socket"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        (self.folder / "pid").unlink(missing_ok=True)
        command = ["dockerd", "--host", self.url]
        for option, name in (("--data-root", "root"), ("--exec-root", "exec"), ("--pidfile", "pid")):
            command += [option, str(self.folder / name)]
        command += ["--bridge=none", "--iptables=false", "--ip-forward=false"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + 120
        while not self.answers():
            assert self._process.poll() is None, (self.folder / "log").read_text()[-2000:]
            assert time.monotonic() < deadline
            time.sleep(0.2)

    def answers(self) -> bool:
        done = subprocess.run(["docker", "-H", self.url, "version"], capture_output=True)
        return done.returncode == 0

    def kill(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(60)

    def containers(self) -> list[str]:
        client = docker.DockerClient(self.url)
        try:
            return [each.name for each in client.containers.list(all=True, filters={"label": RUN}, ignore_removed=True)]
        finally:
            client.close()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Generator[Engine]:
    if shutil.which("dockerd") is None or os.geteuid() != 0:
        pytest.skip("an engine of one's own needs dockerd, and root")
    engine = Engine(tmp_path_factory.mktemp("engine"))
    engine.start()
    save = subprocess.Popen(["docker", "save", BASE], stdout=subprocess.PIPE)
    subprocess.run(["docker", "-H", engine.url, "load"], stdin=save.stdout, check=True, capture_output=True)
    assert save.wait() == 0
    assert save.stdout is not None
    save.stdout.close()
    yield engine
    engine.stop()
    # Overlay mounts that a killed engine left would keep the folder.
    for line in reversed(Path("/proc/mounts").read_text().splitlines()):
        if line.split()[1].startswith(str(engine.folder)):
            subprocess.run(["umount", "-l", line.split()[1]], capture_output=True)


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(engine: Engine, make_repo: Callable[..., Path], tmp_path: Path) -> Generator[Start]:
    """Starts `bestpatch batch` on the engine."""
    repo = make_repo()
    lines = [
        {
            "instance_id": f"task-{number}",
            "repo": "test/repo",
            "base_commit": git(repo, "rev-parse", "HEAD").strip(),
            "problem_statement": ISSUE,
            "repo_path": str(repo),
            "environment": {"base": "python:3.11", "install": ["true"]},
        }
        for number in range(TASKS)
    ]
    (tmp_path / "instances.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "rules.toml").write_text(RULES.replace('stage = "editing"', 'stage = "editing"\ndelay = 1.0'))
    started: list[subprocess.Popen[str]] = []

    def start(run: str, *more: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "harness.cli", "batch", "instances.jsonl", "--run", run, "--candidates", "4"]
        environment = {"DOCKER_HOST": engine.url, "BESTPATCH_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(
            [*command, "--model", "scripted:rules.toml", *more],
            cwd=tmp_path,
            env={**os.environ, **environment, "BESTPATCH_SANDBOX__BACKEND": "docker"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def executions(run: Path) -> int:
    """Executions in the journals of a run."""
    found = 0
    for path in run.glob(f"tasks/*/{FILE_NAME}"):
        db = sqlite3.connect(path)
        try:
            found += db.execute("SELECT COUNT(*) FROM executions WHERE kind = 'run'").fetchone()[0]
        except sqlite3.OperationalError:
            pass  # it has no tables yet
        finally:
            db.close()
    return found


def in_the_middle(process: subprocess.Popen[str], run: Path, least: int) -> None:
    while executions(run) < least:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)


def ended(process: subprocess.Popen[str], code: int) -> str:
    said = process.communicate(timeout=900)[0]
    assert process.returncode == code, said
    assert "Traceback" not in said
    return said


def predictions(run: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (run / "predictions.jsonl").read_text().splitlines()]


def test_row_20_an_engine_that_is_killed_and_comes_back_costs_nothing_but_time(
    engine: Engine, start: Start, tmp_path: Path
) -> None:
    ended(start("whole"), 0)
    whole = executions(tmp_path / "whole")
    process = start("run")
    in_the_middle(process, tmp_path / "run", whole // 3)
    engine.kill()
    time.sleep(3.0)
    engine.start()
    said = ended(process, 0)
    assert "waiting" in said, "the outage was met"
    assert predictions(tmp_path / "run") == predictions(tmp_path / "whole")
    assert len(predictions(tmp_path / "run")) == TASKS
    summary = BatchSummary.model_validate_json((tmp_path / "run/summary.json").read_bytes())
    assert summary.counts == {"selected": TASKS}
    assert executions(tmp_path / "run") == whole, "each is journaled once, none as lost"
    assert engine.containers() == []


def test_row_20_an_engine_that_stays_dead_stops_the_run_and_it_goes_on_later(
    engine: Engine, start: Start, tmp_path: Path
) -> None:
    process = start("run", "--patience", "1s")
    in_the_middle(process, tmp_path / "run", 4)
    engine.kill()
    said = ended(process, 4)
    assert "stopped: " in said
    summary = BatchSummary.model_validate_json((tmp_path / "run/summary.json").read_bytes())
    assert summary.stopped is not None
    assert summary.stopped.kind == "EngineUnavailable"
    assert "failed" not in summary.counts
    before = executions(tmp_path / "run")
    engine.start()
    ended(start("run"), 0)
    ended(start("whole"), 0)
    assert before > 0
    assert predictions(tmp_path / "run") == predictions(tmp_path / "whole")
    assert engine.containers() == [], "also those of the run that had to leave them"
