"""The command line: wrong input is told clearly, with the right exit code, and before any work."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.cli import app, main
from tests.harness.conftest import ISSUE, git
from tests.harness.scripted_github import serving


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


@pytest.fixture
def bestpatch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Ended]:
    """Runs the command in this process, from an empty folder."""
    folder = tmp_path / "cwd"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def run(*args: str | Path, stdin: bytes = b"") -> Ended:
        monkeypatch.setattr(sys, "argv", ["bestpatch", *map(str, args)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        code = ended.value.code
        return Ended(code if isinstance(code, int) else 0, captured.out, captured.err)

    return run


Run = Callable[..., Ended]


def must_refuse(ended: Ended, *parts: str) -> None:
    """Wrong use: exit code 2, one message, no traceback, and nothing was begun."""
    assert ended.code == 2, ended
    assert "Traceback" not in ended.err
    assert ended.out == ""
    for part in parts:
        assert part in ended.err
    assert not Path("bestpatch-runs").exists()


def test_no_such_path(bestpatch: Run, tmp_path: Path) -> None:
    must_refuse(bestpatch("solve", tmp_path / "none", "--issue", "it is wrong"), "no such path", "git repository")


def test_not_a_repository(bestpatch: Run, tmp_path: Path) -> None:
    must_refuse(
        bestpatch("solve", tmp_path, "--issue", "it is wrong"), "is not the root of a git repository", "git init"
    )


def test_a_repository_without_a_commit(bestpatch: Run, make_repo: Callable[..., Path]) -> None:
    must_refuse(bestpatch("solve", make_repo({}), "--issue", "it is wrong"), "no commit yet")


def test_no_such_base(bestpatch: Run, repo: Path) -> None:
    must_refuse(bestpatch("solve", repo, "--issue", "it is wrong", "--base", "v9"), "'v9' names no commit", "--base")


@pytest.mark.parametrize("text", ["", "   \n\t"])
def test_an_empty_issue(bestpatch: Run, repo: Path, tmp_path: Path, text: str) -> None:
    must_refuse(bestpatch("solve", repo, "--issue", text), "the issue is empty")
    must_refuse(bestpatch("solve", repo, "--issue", "-", stdin=text.encode()), "the issue is empty")
    (tmp_path / "issue.md").write_text(text)
    must_refuse(bestpatch("solve", repo, "--issue", tmp_path / "issue.md"), "the issue is empty")


def test_an_issue_of_5_mb(bestpatch: Run, repo: Path, tmp_path: Path) -> None:
    path = tmp_path / "issue.log"
    path.write_bytes(b"x " * 2_500_000)
    must_refuse(bestpatch("solve", repo, "--issue", path), "5.0 MB", "at most 1 MB", "lines of a log")
    must_refuse(bestpatch("solve", repo, "--issue", "-", stdin=path.read_bytes()), "at most 1 MB")


def test_no_issue(bestpatch: Run, repo: Path) -> None:
    ended = bestpatch("solve", repo)
    assert ended.code == 2
    assert "--issue" in ended.err


def test_an_issue_file_that_is_not_there(bestpatch: Run, repo: Path, tmp_path: Path) -> None:
    must_refuse(bestpatch("solve", repo, "--issue", "isue.md"), "isue.md: no such file")
    must_refuse(bestpatch("solve", repo, "--issue", tmp_path), "is a folder")


def test_an_issue_on_github(bestpatch: Run, repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "https://github.com/octo/shop/issues/"
    with serving() as github:
        for name, value in github.environ().items():
            monkeypatch.setenv(name, value)
        github.issues["octo/shop/1"] = {"title": "", "body": None}
        must_refuse(bestpatch("solve", repo, "--issue", f"{url}1"), "the issue is empty")
        must_refuse(bestpatch("solve", repo, "--issue", f"{url}2"), "has no issue 2", "GITHUB_TOKEN")
        must_refuse(bestpatch("solve", repo, "--issue", "https://example.org/1"), "can be given as a file")
        github.failures = [(403, {}, "")]
        ended = bestpatch("solve", repo, "--issue", f"{url}1")
    assert ended.code == 4
    assert "not for this token" in ended.err


@pytest.mark.parametrize("spec", ["gpt-17", "openai:model", "openai:@http://x", "vllm:", "scripted:", "embedded:9b"])
def test_a_wrong_model_spec(bestpatch: Run, repo: Path, spec: str) -> None:
    must_refuse(bestpatch("solve", repo, "--issue", ISSUE, "--model", spec), spec, "openai:MODEL@BASE_URL")


def test_a_key_in_a_model_spec_is_not_repeated(bestpatch: Run, repo: Path) -> None:
    ended = bestpatch("solve", repo, "--issue", ISSUE, "--model", "openai:m@http://me:hunter2@localhost/v1")
    must_refuse(ended, "BESTPATCH_API_KEY")
    assert "hunter2" not in ended.err


def test_a_branch_that_exists(bestpatch: Run, repo: Path) -> None:
    must_refuse(bestpatch("solve", repo, "--issue", ISSUE, "--apply", "main"), "'main' exists already", "--apply")


def test_an_unknown_setting(bestpatch: Run, repo: Path, tmp_path: Path) -> None:
    config = tmp_path / "settings.toml"
    config.write_text("candidats = 3\n")
    must_refuse(
        bestpatch("solve", repo, "--issue", ISSUE, "--config", config), str(config), "'candidats'", "candidates?"
    )
    (repo / "bestpatch.toml").write_text("[selection]\nshortlisted = 3\n")
    must_refuse(bestpatch("solve", repo, "--issue", ISSUE), str(repo / "bestpatch.toml"), "selection.shortlist")


@pytest.mark.parametrize(
    ("args", "part"),
    [
        (["--budget", "time=3"], "--budget: cannot read 'time=3'"),
        (["--budget", "tokens=lots"], "budget.tokens"),
        (["--candidates", "0"], "candidates"),
        (["--candidates", "many"], "--candidates"),
        (["--min-confidence", "2"], "selection.min_confidence"),
        (["--python", "2.7"], "environment.python"),
        (["--image", "x", "--python", "3.9"], "image cannot stand beside python"),
        (["--dockerfile", "nowhere/Dockerfile"], "not in the repository at the base commit"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_wrong_flags(bestpatch: Run, repo: Path, args: list[str], part: str) -> None:
    must_refuse(bestpatch("solve", repo, "--issue", ISSUE, *args), part)


def test_an_endpoint_that_is_not_there(bestpatch: Run, repo: Path, free_port: int) -> None:
    spec = f"openai:m@http://127.0.0.1:{free_port}/v1"
    ended = bestpatch("solve", repo, "--issue", ISSUE, "--model", spec, "--out", "run")
    assert ended.code == 4, ended
    assert str(free_port) in ended.out
    assert "Traceback" not in ended.err + ended.out
    assert json.loads(Path("run/result.json").read_text())["status"] == "failed"


def test_no_engine(bestpatch: Run, repo: Path, rules: Path, free_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{free_port}")
    monkeypatch.setenv("BESTPATCH_SANDBOX__BACKEND", "docker")  # or bubblewrap would stand in
    ended = bestpatch("solve", repo, "--issue", ISSUE, "--model", f"scripted:{rules}", "--out", "run")
    assert ended.code == 4, ended
    assert "EngineUnavailable" in ended.out
    assert "bestpatch doctor --mend" in ended.out
    assert "Traceback" not in ended.err + ended.out


def test_a_defect_shows_no_traceback_unless_asked(bestpatch: Run, repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> str:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("harness.commands.solve.read_issue", broken)
    ended = bestpatch("solve", repo, "--issue", ISSUE)
    assert ended.code == 4
    assert "Traceback" not in ended.err
    assert "oops" in ended.err
    assert "--debug" in ended.err
    ended = bestpatch("solve", repo, "--issue", ISSUE, "--debug")
    assert "Traceback" in ended.err
    assert "oops" in ended.err


def test_report_of_nothing(bestpatch: Run, tmp_path: Path) -> None:
    must_refuse(bestpatch("report", tmp_path), "no result.json", "--out")
    (tmp_path / "result.json").write_text('{"schema_version": 99}')
    must_refuse(bestpatch("report", tmp_path), "cannot be read", "another version's")


def test_a_run_as_the_user_sees_it(bestpatch: Run, repo: Path, rules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the flags to the branch, on sandboxes of this host."""
    import harness.solve
    from tests.harness.host_sandbox import HostBackend

    assert callable(harness.solve)  # the name is the function; its module is to be had from sys.modules alone

    monkeypatch.setattr(sys.modules["harness.solve"], "_backend", lambda _: HostBackend())
    (repo / "calc.py").write_text("# being worked on\n")
    command = ("solve", repo, "--issue", "-", "--model", f"scripted:{rules}", "--candidates", "3", "--turns", "2")
    config = Path("settings.toml")
    config.write_text("[selection]\nregression_seconds = 0\n")
    command = (*command, "--config", config)
    ended = bestpatch(*command, "--apply", "fix/add", stdin=ISSUE.encode())
    assert ended.code == 0, ended
    assert "uncommitted changes" in ended.err
    assert "candidates: done in" in ended.err
    assert "selected candidate-" in ended.out
    assert "git switch fix/add" in ended.out
    assert "return a + b" in git(repo, "show", "fix/add:calc.py")
    assert git(repo, "log", "-1", "--format=%s", "fix/add").strip() == "add returns the difference"
    assert (repo / "calc.py").read_text() == "# being worked on\n"
    (out,) = [path for path in Path("bestpatch-runs").iterdir() if path.is_dir()]
    assert Path("bestpatch-runs/.gitignore").read_text() == "*\n"
    # The same command goes on where the run stopped: here, at its end.
    ended = bestpatch(*command, "--json", stdin=ISSUE.encode())
    assert json.loads(ended.out)["status"] == "selected"
    assert [path for path in Path("bestpatch-runs").iterdir() if path.is_dir()] == [out]
    (out / "report.html").unlink()
    ended = bestpatch("report", out)
    assert ended.code == 0
    assert "selected candidate-" in ended.out
    assert (out / "report.html").is_file()
    ended = bestpatch(*command, "--quiet", stdin=ISSUE.encode())
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    ended = bestpatch(*command, "--min-confidence", "1", stdin=ISSUE.encode())
    assert ended.code == 3
    assert "abstained" in ended.out


COMMANDS = ("batch", "deliver", "doctor", "evaluate", "study", "prune", "report", "select", "serve", "solve")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(bestpatch: Run, command: str) -> None:
    ended = bestpatch(command, "--help")
    assert ended.code == 0
    assert f"bestpatch {command} " in ended.out.partition("Example")[2]


def test_only_commands_that_work_are_listed(bestpatch: Run) -> None:
    names = {command.name or getattr(command.callback, "__name__", "") for command in app.registered_commands}
    assert names == set(COMMANDS)
    assert all(name in bestpatch("--help").out for name in COMMANDS)


def test_version(bestpatch: Run) -> None:
    from importlib.metadata import version

    assert bestpatch("--version").out.strip() == f"bestpatch {version('bestpatch')}"


def test_help_does_not_wait_for_heavy_libraries() -> None:
    program = (
        "import sys; from harness.cli import main; sys.argv = ['bestpatch', 'solve', '--help']\n"
        "try: main()\nexcept SystemExit: pass\n"
        "heavy = ('docker', 'openai', 'git', 'anyio', 'jinja2', 'rich.live')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
