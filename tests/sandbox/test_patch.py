"""What a patch touches, read as git reads it, and what it may not touch."""

from __future__ import annotations

import os
import string
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandbox.base import Patch
from sandbox.errors import PatchRejected
from sandbox.patch import MAX_PATCH_FILES, check_clashes, check_link, check_patch, check_path


def new_file(path: str, mode: str = "100644", content: str = "x") -> str:
    return (
        f"diff --git a/{path} b/{path}\nnew file mode {mode}\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+{content}\n"
    )


@pytest.mark.parametrize(
    "path", ["a", "a/b.py", ".github/x", "a.git/x", "git/x", "..a", "a..b/c", "\u00fc/\u4f60", "a b", "-x"]
)
def test_plain_paths_are_taken(path: str) -> None:
    assert check_path(path) == path


@pytest.mark.parametrize(
    "path",
    ["", "/a", "a/", "a//b", ".", "..", "a/../b", "a/..", "./a", "a\0b", ".git", "a/.git/b", ".GIT", ".Git/x",
     ".git.", ".git ", ".g\u200cit", "git~1", "GIT~1/x", ".gitmodules", "a/.gitmodules"],
)  # fmt: skip
def test_other_paths_are_rejected(path: str) -> None:
    with pytest.raises(PatchRejected):
        check_path(path)


@pytest.mark.parametrize("target", ["b", "../b", "c/../../b", "."])
def test_links_inside_are_taken(target: str) -> None:
    check_link("a/link", target)


@pytest.mark.parametrize("target", ["", "/etc/passwd", "../../b", "c/../../../b", "../.git/config", "../.GIT"])
def test_links_to_outside_are_rejected(target: str) -> None:
    with pytest.raises(PatchRejected):
        check_link("a/link", target)


def test_clashes() -> None:
    check_clashes(["a", "b", "a"])
    with pytest.raises(PatchRejected):
        check_clashes(["a/X", "a/x"])
    with pytest.raises(PatchRejected):
        check_clashes(["caf\u00e9", "cafe\u0301"])


# ruff: noqa: E501 - tables of texts
TAKEN: dict[str, tuple[str, tuple[str, ...]]] = {
    "nothing": ("", ()),
    "new": (new_file("a/b"), ("a/b",)),
    "quoted": (new_file("x").replace("a/x b/x", '"a/\\303\\274 x" "b/\\303\\274 x"').replace("+++ b/x", '+++ "b/\\303\\274 x"'), ("\u00fc x",)),
    "empty file": ("diff --git a/e b/e\nnew file mode 100644\nindex 0000000..e69de29\n", ("e",)),
    "empty file with spaces": ("diff --git a/e f g b/e f g\nnew file mode 100644\n", ("e f g",)),
    "mode only": ("diff --git a/t b/t\nold mode 100644\nnew mode 100755\n", ("t",)),
    "rename": ("diff --git a/old b/new\nsimilarity index 100%\nrename from old\nrename to new\n", ("old", "new")),
    "binary": ("diff --git a/d b/d\nindex 1..2 100644\nGIT binary patch\nliteral 1\nIcmZ\n\nliteral 1\nIcmY\n\n" + new_file("e"), ("d", "e")),
    "headers inside a hunk": (
        "--- a/x\n+++ b/x\n@@ -1,2 +1,3 @@\n--- a/.git/config\n+++ b/.git/config\n+diff --git a/.git/x b/.git/x\n c\n",
        ("x",),
    ),
    "no newline at the end": ("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+b\n\\ No newline at end of file\n", ("x",)),
    "time stamps": ("--- a/x\t2020-01-01\n+++ b/x\t2020-01-01\n@@ -1 +1 @@\n-a\n+b\n", ("x",)),
    "a mail around it": ("Subject: x\n\n" + new_file("a") + "-- \n2.39\n", ("a",)),
    "a link inside": (new_file("a/l", "120000", "../b"), ("a/l",)),
    "a deleted link to outside": ("diff --git a/l b/l\ndeleted file mode 120000\n--- a/l\n+++ /dev/null\n@@ -1 +0,0 @@\n-/etc\n", ("l",)),
    "stripped blank context": ("--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n a\n\n-b\n+c\n", ("x",)),
}  # fmt: skip


@pytest.mark.parametrize("what", TAKEN)
def test_the_paths_of_a_patch(what: str) -> None:
    patch, paths = TAKEN[what]
    assert check_patch(Patch(patch)) == paths


REFUSED = {
    "git's folder": new_file(".git/hooks/x"),
    "git's folder after a hunk": new_file("a") + new_file("b/.git/x"),
    "git's folder, quoted": new_file("x").replace("+++ b/x", '+++ "b/.\\147it/x"'),
    "renamed into git's folder": "diff --git a/x b/.git/x\nrename from x\nrename to .git/x\n",
    "copied from git's folder": "diff --git a/.git/x b/x\ncopy from .git/x\ncopy to x\n",
    "an empty file in git's folder": "diff --git a/.git/x b/.git/x\nnew file mode 100644\n",
    "dots": new_file("../x"),
    "absolute": "--- a/x\n+++ /etc/passwd\n@@ -1 +1 @@\n-a\n+b\n",
    "no folder before the name": "--- x\n+++ x\n@@ -1 +1 @@\n-a\n+b\n",
    "link out": new_file("l", "120000", "../x"),
    "link made of a file": "diff --git a/l b/l\nold mode 100644\nnew mode 120000\n",
    "link changed": "diff --git a/l b/l\nindex 1..2 120000\n--- a/l\n+++ b/l\n@@ -1 +1 @@\n-x\n+/etc\n",
    "link as binary": "diff --git a/l b/l\nnew file mode 120000\nGIT binary patch\nliteral 1\nIcmZ\n\n",
    "submodule": new_file("s", "160000", "Subproject commit 1"),
    "submodule changed": "diff --git a/s b/s\nindex 1..2 160000\n--- a/s\n+++ b/s\n@@ -1 +1 @@\n-Subproject commit 1\n+Subproject commit 2\n",
    "fifo": new_file("p", "010000"),
    "binary without content": "diff --git a/d b/d\nBinary files a/d and b/d differ\n",
    "prose": "change the sign\n",
    "a hunk without a file": "@@ -1 +1 @@\n-a\n+b\n",
    "a hunk cut short": "--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n a\n",
    "a hunk with other lines": "--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n a\nb\n",
    "a hunk too long": "--- a/x\n+++ b/x\n@@ -1 +1,2 @@\n-a\n-a\n+b\n",
    "a malformed hunk": "--- a/x\n+++ b/x\n@@ -one +two @@\n-a\n+b\n",
    "a broken escape": new_file("x").replace("+++ b/x", '+++ "b/\\q"'),
    "an open quote": new_file("x").replace("+++ b/x", '+++ "b/x'),
    "NUL": new_file("x", content="a\0b"),
    "a lone surrogate": new_file("x", content="\udc80"),
    "too large": new_file("x", content="x" * 6_000_000),
    "too many": "".join(new_file(f"f{number}") for number in range(MAX_PATCH_FILES + 1)),
    "clash": new_file("A") + new_file("a"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused(what: str) -> None:
    with pytest.raises(PatchRejected):
        check_patch(Patch(REFUSED[what]))


@settings(max_examples=200)
@given(st.text(st.sampled_from('ab/.-+@ \n\\"01,\t') | st.sampled_from(string.ascii_lowercase), max_size=200))
def test_any_text_is_taken_or_rejected(text: str) -> None:
    for before in ("", "diff --git a/x b/x\n", "--- a/x\n+++ b/x\n@@ -1 +1 @@\n"):
        try:
            paths = check_patch(Patch(before + text))
        except PatchRejected:
            continue
        for path in paths:
            assert not path.startswith("/")
            assert ".." not in path.split("/")


lines = st.lists(
    st.sampled_from(["a", "b", "--- a/x", "+++ b/y", "@@ -1 +1 @@", "diff --git a/q b/q", "", "\\ x"]), max_size=12
)
tree_names = st.sampled_from(["a", "b c", "d/e", "\u00fc", 'q"t', "tab\tx"])


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.dictionaries(tree_names, lines, min_size=1),
    st.dictionaries(tree_names, st.none() | lines, min_size=1),
)
def test_it_reads_what_git_writes(
    tmp_path_factory: pytest.TempPathFactory, old: dict[str, list[str]], new: dict[str, list[str] | None]
) -> None:
    """The paths found are those that git itself lists."""
    root = tmp_path_factory.mktemp("tree")
    env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}

    def git(*arguments: str) -> bytes:
        return subprocess.run(["git", *arguments], cwd=root, env=env, check=True, capture_output=True).stdout

    def write(files: dict[str, list[str] | None]) -> None:
        for name, content in files.items():
            path = root / name
            path.parent.mkdir(exist_ok=True)
            if content is None:
                path.unlink(missing_ok=True)
            else:
                path.write_text("\n".join(content))
        git("add", "-A")

    git("init", "-q")
    write(dict(old))
    base = git("write-tree").decode().strip()
    write(new)
    patch = git("diff", "--cached", "--binary", "--no-renames", base).decode()
    listed = git("diff", "--cached", "--name-only", "--no-renames", "-z", base).decode().split("\0")[:-1]
    assert sorted(check_patch(Patch(patch))) == sorted(listed)
    assert not Path(root / ".git" / "MERGE_HEAD").exists()
