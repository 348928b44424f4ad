"""The example holds what it promises: its tests pass with the bugs present, hidden ones tell right from wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from check import HIDDEN_TESTS, ISSUES, hidden_tests, issue_name
from make_repo import EXAMPLE, GIT_ENV, main, make_repo

from tests.examples.fixes import RIGHT, WRONG, apply

NAMES = sorted(file.stem for file in ISSUES.glob("*.md"))


def run_tests(repository: Path, *paths: Path) -> int:
    """The exit code of pytest. What runs here is ours: the example and the fixes of this folder."""
    command = [sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "pyproject.toml", *paths]
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    return subprocess.run(command, cwd=repository, env=environment, capture_output=True, check=False).returncode


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return make_repo(tmp_path / "studio")


def git(repository: Path, *arguments: str) -> str:
    command = ["git", "-C", str(repository), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **GIT_ENV}).stdout


def test_each_issue_has_hidden_tests_and_a_known_fix() -> None:
    assert len(NAMES) >= 3
    assert sorted(RIGHT) == sorted(WRONG) == NAMES
    assert sorted(file.name for file in HIDDEN_TESTS.glob("test_*.py")) == [
        name for issue in NAMES for name in hidden_tests(issue)
    ]


def test_its_own_tests_pass_with_the_bugs_present(repository: Path) -> None:
    assert run_tests(repository) == 0


@pytest.mark.parametrize("name", NAMES)
def test_the_hidden_tests_decide(name: str, repository: Path) -> None:
    hidden = HIDDEN_TESTS / next(iter(hidden_tests(name)))
    assert run_tests(repository, hidden) == 1
    apply(repository, WRONG[name])
    assert run_tests(repository, hidden) == 1
    git(repository, "checkout", "-q", ".")
    apply(repository, RIGHT[name])
    assert run_tests(repository, hidden, repository / "tests") == 0


@pytest.mark.parametrize("name", NAMES)
def test_an_issue_reads_like_a_users_and_does_not_tell_the_solution(name: str) -> None:
    text = (ISSUES / f"{name}.md").read_text("utf-8")
    assert 60 <= len(text.split()) <= 150
    assert ">>>" in text
    for _, _, new in RIGHT[name]:
        assert new.strip() not in text
    assert issue_name(f"\n{text}\n\n") == name


def test_the_model_never_sees_the_hidden_tests(repository: Path) -> None:
    shown = "".join(
        file.read_text("utf-8") for file in repository.rglob("*") if file.is_file() and ".git" not in file.parts
    )
    assert "def merge" in shown
    for file in HIDDEN_TESTS.glob("test_*.py"):
        assert file.stem not in shown


def test_the_repository_is_small_enough_to_be_shown_whole() -> None:
    source = "".join(file.read_text("utf-8") for file in (EXAMPLE / "studio").glob("*.py"))
    # 3.2 characters a token, as the small profile reckons.
    assert len(source) / 3.2 < 2_500


def test_the_commit_is_the_same_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = make_repo(tmp_path / "a")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Somebody")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    second = make_repo(tmp_path / "b")
    monkeypatch.delenv("GIT_DIR")
    assert git(first, "rev-parse", "HEAD") == git(second, "rev-parse", "HEAD")
    assert git(first, "status", "--porcelain", "--ignored") == ""
    assert ".ruff_cache" not in git(first, "ls-files")


def test_a_folder_that_is_in_use_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    monkeypatch.setattr(sys, "argv", ["make_repo.py", str(tmp_path)])
    assert main() == 2
    assert "not an empty folder" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]
