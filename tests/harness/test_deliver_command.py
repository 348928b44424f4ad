"""`bestpatch deliver`: from a jobs file and a run's results to branches, once, with a summary for the CI."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.commands.deliver import deliver_command
from harness.commands.exit import Exit
from harness.result import Result, Status
from tests.harness.conftest import git
from tests.harness.report_fixture import without_winner
from tests.harness.test_deliver import result_of

ISSUE = "# add subtracts, says @octo | today\n\nIt gives the difference."


@pytest.fixture
def jobs(repo: Path, tmp_path: Path) -> Path:
    path = tmp_path / "jobs.toml"
    (tmp_path / "add.md").write_text(ISSUE)
    path.write_text('[[jobs]]\nissue = "add.md"\nrepository = "repo"\nresult = "branch"\n')
    return path


def kept(run: Path, name: str, result: Result, issue: str = ISSUE) -> None:
    folder = run / "tasks" / name
    folder.mkdir(parents=True)
    task = result.task.model_copy(update={"issue": issue})
    (folder / "result.json").write_text(result.model_copy(update={"task": task}).model_dump_json())


def code_of(jobs: Path, run: Path, *, yes: bool = False, as_json: bool = False) -> int:
    with pytest.raises(Exit) as ended:
        deliver_command(jobs, run, yes=yes, as_json=as_json)
    return ended.value.code


def test_it_says_first_and_does_it_once(
    jobs: Path, repo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept(tmp_path / "run", "add", result_of(repo))
    assert code_of(jobs, tmp_path / "run") == 0
    told = capsys.readouterr()
    assert told.out == "add: would make the branch bestpatch/add\n"
    assert "nothing was changed" in told.err
    assert git(repo, "branch", "--list", "bestpatch/*") == ""

    assert code_of(jobs, tmp_path / "run", yes=True) == 0
    assert "made the branch bestpatch/add" in capsys.readouterr().out
    assert "return a + b" in git(repo, "show", "bestpatch/add:calc.py")
    assert code_of(jobs, tmp_path / "run", yes=True) == 0
    assert "exists already" in capsys.readouterr().out


def test_what_has_no_patch_or_another_issue_is_not_delivered(
    jobs: Path, repo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with jobs.open("a") as file:
        for name in ("edited", "abstained", "gone"):
            (tmp_path / f"{name}.md").write_text(ISSUE)
            file.write(f'[[jobs]]\nissue = "{name}.md"\nrepository = "repo"\nresult = "branch"\n')
        file.write('[[jobs]]\nissue = "none.md"\nid = "unread"\nrepository = "repo"\n')
    kept(tmp_path / "run", "edited", result_of(repo), "as it was before")
    kept(tmp_path / "run", "abstained", without_winner(Status.ABSTAINED))
    kept(tmp_path / "run", "gone", result_of(repo))
    (tmp_path / "run" / "tasks" / "gone" / "result.json").write_text("{")

    assert code_of(jobs, tmp_path / "run", yes=True, as_json=True) == 4
    lines = {line["id"]: line for line in json.loads(capsys.readouterr().out)}
    assert {name: line["status"] for name, line in lines.items()} == {
        "add": "waiting",
        "edited": "changed",
        "abstained": "abstained",
        "gone": "failed",
        "unread": "unread",
    }
    assert git(repo, "branch", "--list", "bestpatch/*") == ""


def test_the_ci_gets_a_table(jobs: Path, repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    kept(tmp_path / "run", "add", result_of(repo))
    code_of(jobs, tmp_path / "run", yes=True)
    text = summary.read_text()
    assert text.startswith("before\n## bestpatch\n")
    row = "| add | add subtracts, says @\u200bocto \\| today | selected | "
    assert row in text
    assert "made the branch bestpatch/add" in text.splitlines()[-2]
