"""The program that makes patches, run as a place runs it, on trees that are not the base commit's to the byte."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from sandbox import inside
from tests.sandbox.test_inside import PYTHONS

OLD = b"a\nb\nc\nd\ne\nf\ng\nh\n"
NEW = OLD.replace(b"b", b"changed")


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    done = subprocess.run(["git", "-C", folder, *who, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A working tree, with the store of its base commit beside it."""
    tree, store = tmp_path / "tree", tmp_path / "base.git"
    tree.mkdir()
    git(tree, "init", "-q")
    (tree / "one.txt").write_bytes(OLD)
    (tree / "two.bin").write_bytes(b"\0\1\2")
    git(tree, "add", "-A")
    git(tree, "commit", "-qm", "base")
    git(tmp_path, "clone", "-q", "--bare", "tree", "base.git")
    (store / "base").write_text(git(tree, "rev-parse", "HEAD"))
    return tree


def made(tree: Path, changes: Mapping[str, bytes | None], python: str = sys.executable) -> dict[str, str]:
    request = tree.parent / "request"
    request.write_text(json.dumps({p: None if c is None else base64.b64encode(c).decode() for p, c in changes.items()}))
    argv = [python, "-I", "-S", *inside.arguments(*inside.GIT_TOOL), "make", tree, request]
    env = {**os.environ, "BESTPATCH_STORE": str(tree.parent / "base.git"), "TMPDIR": str(tree.parent)}
    done = subprocess.run(argv, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not list(tree.parent.glob("bestpatch-git-*"))
    answer: dict[str, str] = json.loads(done.stdout)
    return answer


@pytest.mark.parametrize(
    "changes",
    [
        {"one.txt": NEW},
        {"one.txt": None, "new/file.txt": b"x\n"},
        {"one.txt": b"\0binary", "two.bin": b"text now\n"},
        {"one.txt/below.txt": b"x\n", "one.txt": None},
        {":(glob)*.txt": b"x\n", "*": b"y\n"},
        {"one.txt": OLD, "two.bin": None},
    ],
)
def test_a_patch_gives_the_changes_back(tree: Path, changes: Mapping[str, bytes | None]) -> None:
    patch = made(tree, changes)["ok"]
    git(tree, "checkout", "-q", "-f", "HEAD")
    git(tree, "clean", "-qfd")
    subprocess.run(["git", "-C", tree, "apply", "-"], input=patch.encode(), check=True)
    for path, content in changes.items():
        assert ((tree / path).read_bytes() if (tree / path).is_file() else None) == content
    named = [line for line in patch.splitlines() if line.startswith("diff --git")]
    assert len(named) == sum(content != (OLD if path == "one.txt" else b"") for path, content in changes.items())


@pytest.mark.parametrize("python", PYTHONS)
def test_every_python_makes_the_same_patch(tree: Path, python: str) -> None:
    assert made(tree, {"one.txt": NEW}, python)["ok"].splitlines()[-1] == " e"


def test_nothing_changed_is_no_patch(tree: Path) -> None:
    assert made(tree, {"one.txt": OLD, "not/there.txt": None}) == {"ok": ""}


@pytest.mark.parametrize(
    ("there", "why"),
    [
        (OLD.replace(b"\n", b"\r\n"), "patch"),  # no line of the patch is in the tree
        (OLD.replace(b"h", b"other"), "differs"),  # applies, but beside a line that is another one
        (None, "one.txt"),
    ],
)
def test_a_tree_that_is_not_the_base_commits_gets_no_patch_that_does_something_else(
    tree: Path, there: bytes | None, why: str
) -> None:
    if there is None:
        (tree / "one.txt").unlink()
    else:
        (tree / "one.txt").write_bytes(there)
    assert why in made(tree, {"one.txt": NEW})["rejected"]


def test_a_tree_that_has_the_change_already_is_told_so(tree: Path) -> None:
    (tree / "one.txt").write_bytes(NEW)
    answer = made(tree, {"one.txt": NEW})
    assert "rejected" in answer, "the patch from the base commit does not apply to a tree that has it already"
