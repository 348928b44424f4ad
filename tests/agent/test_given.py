"""Patches from strangers: what is taken of them, what is left out, what is refused, and why."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from agent.given import MOST, Given, Taken, only, take
from harness.outcome import given_records
from harness.repository import Repository
from sandbox.base import UNEDITED, Patch, Snapshot
from sandbox.patch import MAX_PATCH_BYTES, check_patch
from tests.harness.conftest import git, make_repo
from tests.harness.host_sandbox import HostBackend, HostSandbox

__all__ = ["make_repo"]

FILES = {
    "calc.py": "def add(a, b):\n    return a - b\n",
    "pkg/__init__.py": "",
    "pkg/old_name.py": "".join(f"line_{number} = {number}\n" for number in range(40)),
    "pkg/spaced.py": "one = 1\n\n\ntwo = 2\n",
    "pyproject.toml": "[project]\nname = 'x'\n",
    "tests/test_calc.py": "def test_nothing():\n    pass\n",
}
FIXED = "def add(a, b):\n    return a + b\n"


@pytest.fixture
def repo(make_repo: Callable[..., Path]) -> Path:
    return make_repo(FILES)


@pytest.fixture
def diff(repo: Path) -> Callable[[Callable[[Path], object]], str]:
    """The diff of what a function does to the tree, as another system would write it: renames and binaries included."""

    def diff(change: Callable[[Path], object]) -> str:
        change(repo)
        git(repo, "add", "-A", "-f")
        text = git(repo, "diff", "--cached", "--binary", "-M", "HEAD")
        git(repo, "reset", "-q", "--hard")
        return text

    return diff


@pytest.fixture
async def sandbox(repo: Path, tmp_path: Path) -> HostSandbox:
    with Repository.open(repo) as repository:
        snapshot: Snapshot = repository.snapshot(repository.base(), tmp_path / "snapshot.tar")
    return HostSandbox(HostBackend(), snapshot)


async def taken(sandbox: HostSandbox, *patches: str) -> tuple[Taken, ...]:
    tree = await sandbox.tree()
    return await take([Given("somebody", patch) for patch in patches], sandbox, tree, parallel=2)


def fix(root: Path) -> None:
    (root / "calc.py").write_text(FIXED)


def with_leftovers(root: Path) -> None:
    fix(root)
    (root / "__pycache__").mkdir()
    (root / "__pycache__" / "calc.cpython-311.pyc").write_bytes(b"\0compiled")
    (root / "uv.lock").write_text("locked\n")
    (root / "reproduce.py").write_text("import calc\n")
    (root / "core.bin").write_bytes(bytes(range(256)) * 40)
    (root / "calc.py.orig").write_text("x\n")
    (root / "pkg" / "data.csv").write_text("1,2\n" * 400_000)


def renamed(root: Path) -> None:
    fix(root)
    text = (root / "pkg/old_name.py").read_text()
    (root / "pkg/old_name.py").unlink()
    (root / "pkg/new_name.py").write_text(text + "more = 1\n")


async def test_a_plain_patch_is_taken_as_it_is(sandbox: HostSandbox, diff: Callable[..., str]) -> None:
    patch = diff(fix)
    (one,) = await taken(sandbox, patch)
    assert one.candidate is not None
    assert one.candidate.patch == patch
    assert one.notes == ()
    assert one.candidate.trajectory == "given-0 by somebody"


async def test_what_copying_adds_and_takes_away_does_no_harm(sandbox: HostSandbox, diff: Callable[..., str]) -> None:
    patch = diff(fix)
    for text in ("\n\n" + patch, patch.rstrip("\n"), "\r\n" + patch):
        (one,) = await taken(sandbox, text)
        assert one.candidate is not None
        assert one.candidate.patch == patch


async def test_blank_context_that_copying_took_away_is_given_back(
    sandbox: HostSandbox, diff: Callable[..., str]
) -> None:
    patch = diff(lambda root: (root / "pkg/spaced.py").write_text("one = 3\n\n\ntwo = 2\n"))
    cut = patch.replace(" two = 2\n", "").replace("-1,4 +1,4", "-1,3 +1,3")
    assert cut.endswith("+one = 3\n \n \n")
    (one, short) = await taken(sandbox, cut.rstrip(), cut.replace("-1,3 +1,3", "-1,8 +1,8").rstrip())
    assert one.candidate is not None
    assert one.candidate.patch == patch
    assert short.candidate is None


async def test_leftovers_are_left_out_and_named(sandbox: HostSandbox, diff: Callable[..., str]) -> None:
    (one,) = await taken(sandbox, diff(with_leftovers))
    assert one.candidate is not None
    assert one.candidate.patch == diff(fix)
    said = "\n".join(one.notes)
    for name in ("calc.cpython-311.pyc", "uv.lock", "reproduce.py", "core.bin", "calc.py.orig", "pkg/data.csv"):
        assert name in said, name


async def test_a_rename_with_changes_is_kept(sandbox: HostSandbox, diff: Callable[..., str]) -> None:
    patch = diff(renamed)
    assert "rename from" in patch
    (one,) = await taken(sandbox, patch)
    assert one.candidate is not None
    assert set(check_patch(one.candidate.patch)) == {"calc.py", "pkg/new_name.py", "pkg/old_name.py"}
    async with sandbox.workspace(one.candidate.patch) as workspace:
        assert (await workspace.read("pkg/new_name.py")).endswith(b"more = 1\n")


async def test_a_new_file_and_a_mode_are_kept(sandbox: HostSandbox, diff: Callable[..., str]) -> None:
    def change(root: Path) -> None:
        (root / "pkg" / "helper.py").write_text("x = 1\n")
        os.chmod(root / "calc.py", 0o755)

    (one,) = await taken(sandbox, diff(change))
    assert one.candidate is not None
    assert "new mode 100755" in one.candidate.patch
    assert "pkg/helper.py" in one.candidate.patch


async def test_a_patch_that_touches_tests_is_taken_and_says_so(sandbox: HostSandbox, diff: Callable[..., str]) -> None:
    def change(root: Path) -> None:
        fix(root)
        (root / "tests/test_calc.py").write_text("def test_nothing():\n    assert True\n")

    records = given_records(await taken(sandbox, diff(change)))
    assert not records[0].refused
    assert "tests/test_calc.py" in records[0].notes[0]


REFUSED = {
    "empty": ("", "it is empty"),
    "blank": ("\n \n", "it is empty"),
    "no diff": ("I would change the sign.\n", "no unified diff"),
    "another tree": (
        "diff --git a/calc.py b/calc.py\n--- a/calc.py\n+++ b/calc.py\n@@ -1 +1 @@\n-def sub(a):\n+def sub(b):\n",
        "refused: ",
    ),
    "outside": ("diff --git a/../x b/../x\n--- a/../x\n+++ b/../x\n@@ -1 +1 @@\n-a\n+b\n", "leaves the repository"),
    "huge": (
        "diff --git a/x.py b/x.py\nnew file mode 100644\n--- /dev/null\n+++ b/x.py\n"
        + f"@@ -0,0 +1,{MAX_PATCH_BYTES // 64} @@\n"
        + ("+" + "x" * 70 + "\n") * (MAX_PATCH_BYTES // 64),
        "bytes",
    ),
    "binary without content": (
        "diff --git a/x.bin b/x.bin\nnew file mode 100644\nBinary files /dev/null and b/x.bin differ\n",
        "git diff --binary",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_what_cannot_be_taken_is_refused_with_the_reason(sandbox: HostSandbox, what: str) -> None:
    patch, why = REFUSED[what]
    (one,) = await taken(sandbox, patch)
    assert one.candidate is None
    assert one.notes[-1].startswith("refused: ")
    assert why in one.notes[-1]
    assert given_records([one])[0].refused


async def test_only_leftovers_are_refused(sandbox: HostSandbox, diff: Callable[..., str]) -> None:
    (one,) = await taken(sandbox, diff(lambda root: (root / "core.bin").write_bytes(b"\0" * 5000)))
    assert one.candidate is None
    assert "core.bin: binary" in one.notes[0]
    assert "nothing of it can be kept" in one.notes[-1]


async def test_equal_texts_are_looked_at_once_and_too_many_are_refused(
    sandbox: HostSandbox, diff: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.given.MOST", 2)
    patch = diff(fix)
    opened = 0
    real = sandbox.workspace

    def counted(patch: Patch = UNEDITED) -> object:
        nonlocal opened
        opened += 1
        return real(patch)

    monkeypatch.setattr(sandbox, "workspace", counted)
    tree = await HostSandbox.tree(sandbox)
    opened = 0
    given = [Given(name, text) for name, text in (("a", patch), ("b", patch), ("c", "no"), ("d", "diff"))]
    found = await take(given, sandbox, tree, parallel=2)
    assert opened == 1
    assert [one.candidate is not None for one in found] == [True, True, False, False]
    assert "more than" in found[3].notes[-1]
    assert MOST == 256


async def test_a_name_with_markup_is_made_plain(sandbox: HostSandbox) -> None:
    (one,) = await take([Given("<script>\x1b[31m", "")], sandbox, {}, parallel=1)
    assert one.source == "-script-31m"


def part(path: str, line: str) -> str:
    return f"diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n-old\n+{line}\n"


@drawn(
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n\r\0"), max_size=30), min_size=1, max_size=6)
)
def test_parts_of_a_patch_are_told_apart_whatever_they_hold(lines: list[str]) -> None:
    tricky = ["diff --git a/f0.py b/f0.py", *lines]
    parts = [part(f"f{number}.py", line) for number, line in enumerate(tricky)]
    whole = Patch("".join(parts))
    for number, one in enumerate(parts):
        assert only(whole, check_patch(Patch(one))) == one, number
    assert only(whole, check_patch(whole)) == whole


def test_git_agrees_that_a_kept_part_applies(repo: Path, diff: Callable[..., str]) -> None:
    whole = Patch(diff(with_leftovers))
    kept = only(whole, check_patch(Patch(diff(fix))))
    done = subprocess.run(["git", "apply", "--check", "-"], cwd=repo, input=kept.encode(), capture_output=True)
    assert done.returncode == 0, done.stderr
