"""Which file a model means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.edit.paths import alike, named_path, resolve, safe
from agent.edit.values import EditProblem
from sandbox.base import RepoPath, Tree

TREE: Tree = {RepoPath(p): b"" for p in ("setup.py", "src/pkg/core.py", "src/pkg/util.py", "tests/util.py", "Makefile")}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("src/pkg/core.py", "src/pkg/core.py"),
        ("./src/pkg/core.py", "src/pkg/core.py"),
        ("src\\pkg\\core.py", "src/pkg/core.py"),
        ("`src/pkg/core.py`", "src/pkg/core.py"),
        ("a/src/pkg/core.py", "src/pkg/core.py"),
        ("/testbed/src/pkg/core.py", "src/pkg/core.py"),
        ("core.py", "src/pkg/core.py"),
        ("pkg/core.py", "src/pkg/core.py"),
        ("b/setup.py", "setup.py"),
        ("src/../setup.py", "setup.py"),
        ("src/pkg/new.py", "src/pkg/new.py"),
    ],
)
def test_a_name_is_resolved(written: str, meant: str) -> None:
    assert resolve(written, TREE) == meant


def test_a_name_that_fits_several_files_is_a_problem_unless_one_was_shown() -> None:
    said = resolve("util.py", TREE)
    assert isinstance(said, EditProblem)
    assert "`src/pkg/util.py`" in said.message
    assert "`tests/util.py`" in said.message
    assert resolve("util.py", TREE, [RepoPath("tests/util.py")]) == "tests/util.py"


@pytest.mark.parametrize(
    "name", ["", "  ", "a\nb.py", "a\0.py", "..", "../x.py", "/x.py", ".git", "a/.Git /x", ".git./x"]
)
def test_names_that_must_not_be_written(name: str) -> None:
    assert isinstance(resolve(name, TREE), EditProblem)


@pytest.mark.parametrize("path", [".gitignore", ".github/x.yml", "a/git/b", "x..y/z"])
def test_names_that_only_look_dangerous(path: str) -> None:
    assert resolve(path, TREE) == path


@given(st.text(st.sampled_from("a./\\~git1.: "), max_size=20))
def test_whatever_is_resolved_stays_inside(name: str) -> None:
    found = resolve(name, TREE)
    if not isinstance(found, EditProblem):
        assert safe(found)
        assert ".." not in found.split("/")


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("# src/pkg/core.py", "src/pkg/core.py"),
        ("### File: src/pkg/core.py", "src/pkg/core.py"),
        ("**`core.py`**", "core.py"),
        ("// a/b.js", "a/b.js"),
        ("Makefile", "Makefile"),
        ("in file core.py:", "core.py"),
        ("The bug is in `src/pkg/core.py`, see below.", "src/pkg/core.py"),
        ("# Cache.get", None),
        ("# the core.py module is wrong", None),
        ("# return a.b", None),
        ("See `src/pkg/core.py` and `tests/util.py`.", None),
        ("", None),
    ],
)
def test_what_line_names_a_file(line: str, name: str | None) -> None:
    assert named_path(line, TREE) == name


def test_names_alike() -> None:
    assert alike(RepoPath("lib/core.py"), TREE) == ["src/pkg/core.py"]
    assert alike(RepoPath("src/pkg/cores.py"), TREE)[0] == "src/pkg/core.py"
