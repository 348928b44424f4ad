"""How one job ends where the whole run has to, and what it leaves. The rest is in test_batch.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.model.scripted import load_scripted
from harness import at_work
from harness.at_work import AtWork
from harness.batch_record import NO_USAGE
from harness.budget import Budget
from harness.config import BudgetSettings
from harness.errors import DirectoryFull
from harness.job import Job, Terms
from harness.progress import Silence
from harness.result import Status
from harness.shared import Shared
from tests.faults.drive_batch import jobs, judged, settings
from tests.harness.conftest import FILES
from tests.harness.test_batch import MemoryBackend


def solver(rules: Path, run: Path, stopped: list[Exception]) -> AtWork:
    terms = Terms(settings("http://127.0.0.1:1/v1"), run, "limits")
    shared = Shared(terms.settings, run, 1.0, print, stopped.append)
    gated = shared.gated(load_scripted(rules), MemoryBackend(FILES, judged))
    budget = Budget(BudgetSettings(), NO_USAGE)
    return AtWork(terms, *gated, workers=2, ahead=1, budget=budget, stop=stopped.append)


async def test_a_job_is_solved_and_its_snapshot_goes(rules: Path, tmp_path: Path) -> None:
    work = solver(rules, tmp_path, [])
    assert work.room == 3
    (job,) = jobs(1)
    outcome = await work.solved(job, Silence())
    assert outcome is not None
    assert (outcome.instance_id, outcome.status, outcome.limits) == (job.id, Status.SELECTED, "limits")
    assert not (tmp_path / "tasks" / job.id / "snapshot").exists()


async def test_a_full_directory_stops_the_run_and_is_no_failure_of_the_job(
    rules: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object, **__: object) -> None:
        raise DirectoryFull("no room")

    monkeypatch.setattr(at_work, "solve", full)
    stopped: list[Exception] = []
    assert await solver(rules, tmp_path, stopped).solved(jobs(1)[0], Silence()) is None
    assert [str(error) for error in stopped] == ["no room"]


async def test_a_defect_is_the_jobs_own_with_its_log(rules: Path, tmp_path: Path) -> None:
    def crash(folder: Path) -> None:
        raise ZeroDivisionError("oops")

    outcome = await solver(rules, tmp_path, []).solved(Job("a", "d", crash), Silence())  # type: ignore[arg-type]
    assert outcome is not None
    assert outcome.error is not None
    assert outcome.error.kind == "ZeroDivisionError"
    assert "oops" in (tmp_path / "tasks" / "a" / "defect.log").read_text()
