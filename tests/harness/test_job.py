"""Jobs as the commands make them can go to other processes, and make the same task there."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

from harness import Settings
from harness.commands.batch import InstanceTask
from harness.commands.jobs import LocalTask
from harness.instances import Instance
from harness.job import Job, Terms
from harness.result import ErrorRecord
from tests.harness.conftest import ISSUE, git


def test_the_jobs_of_commands_make_the_same_task_in_another_process(
    make_repo: Callable[..., Path], tmp_path: Path
) -> None:
    repo = make_repo()
    commit = git(repo, "rev-parse", "HEAD").strip()
    row = {"instance_id": "calc-1", "repo": "me/calc", "base_commit": commit, "problem_statement": ISSUE}
    instance = Instance.model_validate({**row, "repo_path": str(repo)})
    for make in (InstanceTask(instance, Settings()), LocalTask(repo, ISSUE, Settings(), commit)):
        job = Job("calc-1", "digest", make)
        folder = tmp_path / type(make).__name__
        folder.mkdir()
        here, there = job.make(folder), pickle.loads(pickle.dumps(job)).make(folder)
        assert here == there
        assert (here.issue.strip(), here.base_commit) == (ISSUE.strip(), commit)


def test_a_failure_says_where_and_on_which_terms(tmp_path: Path) -> None:
    terms = Terms(Settings(), tmp_path, "limits")
    job = Job("a", "digest", InstanceTask)  # type: ignore[arg-type]
    assert terms.folder(job) == tmp_path / "tasks" / "a"
    outcome = terms.failed(job, ErrorRecord(kind="WorkerLost", message="gone"))
    assert (outcome.instance_id, outcome.digest, outcome.limits, outcome.usage.calls) == ("a", "digest", "limits", 0)
    assert not outcome.over(limits="limits", retry=False), "it is tried again the next time"
