import pytest

from sandbox.base import RepoPath
from selection.steering import steering, steers


@pytest.mark.parametrize(
    "path",
    [
        "conftest.py", "pkg/tests/conftest.py", "sitecustomize.py", "src/usercustomize.py", "lib/a.pth",
        "pytest.ini", ".pytest.ini", "tox.ini", "setup.cfg", "pyproject.toml", "Makefile", "GNUmakefile", "noxfile.py",
        ".gitattributes", ".githooks/pre-commit", ".husky/commit-msg", ".coveragerc", ".pre-commit-config.yaml",
    ],
)  # fmt: skip
def test_row_11_a_file_that_steers_test_runs_is_known_by_its_name(path: str) -> None:
    assert steers(path)


@pytest.mark.parametrize(
    "path",
    [
        "m.py",
        "tests/test_m.py",
        "docs/conftest.rst",
        "myconftest.py",
        "pyproject.py",
        "path.py",
        "hooks/x.py",
        "Makefiles/x",
    ],
)
def test_row_11_other_files_do_not(path: str) -> None:
    assert not steers(path)


def test_row_11_those_of_a_patch_are_sorted() -> None:
    assert steering([RepoPath("tox.ini"), RepoPath("a.py"), RepoPath("conftest.py")]) == ("conftest.py", "tox.ini")
