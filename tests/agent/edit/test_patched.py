"""Patches applied in memory give what git gives, or nothing."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.edit.patched import apply_in_memory
from sandbox.base import Patch, RepoPath, Tree

PATH = RepoPath("a.txt")


def git_diff(folder: Path, old: bytes | None, new: bytes | None) -> Patch:
    """What git makes of two contents of one file."""
    sides: list[str] = []
    for name, content in (("old", old), ("new", new)):
        (folder / name).mkdir(exist_ok=True)
        file = folder / name / PATH
        file.unlink(missing_ok=True)
        if content is not None:
            file.write_bytes(content)
        sides.append(f"{name}/{PATH}" if content is not None else "/dev/null")
    argv = ["git", "-c", "core.autocrlf=false", "diff", "--no-index", "--no-renames", "--binary", "--", *sides]
    out = subprocess.run(argv, cwd=folder, capture_output=True, check=False).stdout.decode("utf-8", "surrogateescape")
    return Patch(out.replace("a/old/", "a/").replace("b/new/", "b/").replace("a/new/", "a/").replace("b/old/", "b/"))


CONTENT = st.lists(st.sampled_from(["a", "b", "", "-x", "+++ b", "@@ -1 +1 @@", "c\r", "\\ No"]), max_size=14)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CONTENT, CONTENT, st.booleans(), st.booleans())
def test_it_gives_what_git_was_given(tmp_path: Path, old: list[str], new: list[str], ends: bool, now: bool) -> None:
    before = "\n".join(old).encode() + (b"\n" if ends and old else b"")
    after = "\n".join(new).encode() + (b"\n" if now and new else b"")
    if before == after:
        return
    files = apply_in_memory(git_diff(tmp_path, before, after), {PATH: before})
    assert files is not None
    assert [(file.path, file.content) for file in files] == [(PATH, after)]


@pytest.mark.parametrize("content", [b"", b"x", b"x\n", b"x\ny\n"])
def test_new_and_deleted_files(tmp_path: Path, content: bytes) -> None:
    made = apply_in_memory(git_diff(tmp_path, None, content), {})
    assert made is not None
    assert (made[0].content, made[0].mode) == (content, "new file mode 100644;")
    gone = apply_in_memory(git_diff(tmp_path, content, None), {PATH: content})
    assert gone is not None
    assert gone[0].content is None


GOOD = "diff --git a/a.txt b/a.txt\n--- a/a.txt\n+++ b/a.txt\n@@ -1,2 +1,2 @@\n x\n-y\n+z\n"


def test_what_does_not_fit_exactly_is_left_to_git() -> None:
    assert apply_in_memory(Patch(GOOD), {PATH: b"x\ny\n"}) is not None
    other: list[tuple[str, Tree]] = [
        (GOOD, {PATH: b"x\nq\n"}),
        (GOOD, {PATH: b"\nx\ny\n"}),
        (GOOD, {PATH: b"x\ny"}),
        (GOOD, {}),
        (GOOD + GOOD, {PATH: b"x\ny\n"}),
        (GOOD.replace("@@ -1,2 +1,2 @@", "@@ -1,9 +1,9 @@"), {PATH: b"x\ny\n"}),
        (GOOD.replace("--- a", "GIT binary patch\n--- a"), {PATH: b"x\ny\n"}),
        (GOOD.replace("a/a.txt b/a.txt", "a/a.txt b/b.txt"), {PATH: b"x\ny\n"}),
        (GOOD.replace("a/a.txt b/a.txt", '"a/\\303" "b/\\303"'), {PATH: b"x\ny\n"}),
        ("words\n", {PATH: b"x\ny\n"}),
    ]
    for patch, tree in other:
        assert apply_in_memory(Patch(patch), tree) is None


@given(st.lists(st.sampled_from([*GOOD.split("\n"), "@@ -0,0 +1 @@", "\\ No newline at end of file"]), max_size=12))
def test_lines_in_any_order_are_left_to_git_or_concern_the_file_they_name(lines: list[str]) -> None:
    made = apply_in_memory(Patch("\n".join(lines)), {PATH: b"x\ny\n"})
    assert made is None or {file.path for file in made} <= {PATH}
