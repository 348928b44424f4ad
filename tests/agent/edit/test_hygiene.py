"""What does not belong in a patch."""

import pytest

from agent.edit.hygiene import FILE_BYTES, clean_changes
from sandbox.base import Changes, RepoPath, Tree

TREE: Tree = {
    RepoPath(path): b"x\n"
    for path in (
        "pkg/a.py",
        "tests/test_a.py",
        "poetry.lock",
        "pyproject.toml",
        "docs/old.orig",
        "build/x.py",
        "img.png",
    )
}


def cleaned(path: str, content: bytes | None = b"new\n", **others: bytes) -> tuple[Changes, list[str]]:
    return clean_changes({RepoPath(path): content, **{RepoPath(p): c for p, c in others.items()}}, TREE)


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("pkg/__pycache__/a.cpython-311.pyc", b"x"),
        ("pkg/a.pyc", b"x"),
        (".pytest_cache/README.md", b"x"),
        ("pkg.egg-info/PKG-INFO", b"x"),
        (".coverage", b"x"),
        ("poetry.lock", b"changed\n"),
        ("poetry.lock", None),
        ("sub/uv.lock", b"changed\n"),
        ("pkg/a.py.orig", b"x"),
        ("pkg/a.py~", b"x"),
        ("pkg/.a.py.swp", b"x"),
        ("reproduce.py", b"x"),
        ("repro_issue_12.py", b"x"),
        ("test_issue.py", b"x"),
        ("test_new.py", b"x"),
        ("debug_it.py", b"x"),
        ("core.bin", b"\x7fELF\0\0"),
        ("img.png", b"\x89PNG\0"),
        ("big.txt", b"x" * (FILE_BYTES + 1)),
        ("pkg/a.py", b"x\n"),
    ],
)
def test_removed_with_a_reason(path: str, content: bytes | None) -> None:
    kept, removed = cleaned(path, content)
    assert not kept
    assert len(removed) == 1
    assert removed[0].startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("pkg/a.py", b"y\n"),
        ("pkg/a.py", None),
        ("tests/test_b.py", b"y\n"),
        ("docs/old.orig", b"y\n"),
        ("pkg/reproduce.py", b"y\n"),
        ("pkg/testing.py", b"y\n"),
        ("build/x.py", b"y\n"),
        ("data.csv", b"a,b\n"),
        ("image.svg", b"<svg/>"),
    ],
)
def test_kept(path: str, content: bytes | None) -> None:
    assert cleaned(path, content) == ({path: content}, [])


def test_a_lock_file_stays_with_its_manifest() -> None:
    kept, removed = cleaned("poetry.lock", b"y\n", **{"pyproject.toml": b"z\n"})
    assert list(kept) == ["poetry.lock", "pyproject.toml"]
    assert not removed


def test_tests_at_the_root_stay_where_the_repository_keeps_them() -> None:
    kept, _ = clean_changes({RepoPath("test_b.py"): b"y\n"}, {RepoPath("test_a.py"): b"x\n"})
    assert list(kept) == ["test_b.py"]
