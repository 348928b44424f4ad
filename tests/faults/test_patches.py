"""Row 30: patches that are too large, and patches of odd files: taken byte for byte, or refused with a type."""

from __future__ import annotations

import base64
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from sandbox.base import Changes, Limits, Patch, RepoPath, Sandbox
from sandbox.errors import PatchTooLarge
from sandbox.patch import MAX_FILE_BYTES, MAX_PATCH_BYTES, MAX_PATCH_FILES, check_patch
from tests.conformance.repository import CALC, Repository

QUICK = Limits(seconds=60.0, memory_bytes=512 * 1024**2)


def new_file(path: str, lines: int = 1, line: str = "x") -> str:
    return (
        f"diff --git a/{path} b/{path}\nnew file mode 100644\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1,{lines} @@\n"
        + f"+{line}\n" * lines
    )


async def refused_as_too_large(sandbox: Sandbox, patch: str) -> str:
    """The patch is refused before anything is made for it; gives the message."""
    with pytest.raises(PatchTooLarge) as caught:
        async with sandbox.workspace(Patch(patch)):
            pass
    return str(caught.value)


@pytest.mark.docker
async def test_row_30_a_patch_of_78_megabytes(sandbox: Sandbox) -> None:
    patch = new_file("big.py", 78 * 1024, "x" * 1022)
    assert len(patch) > 78 * 1024**2
    message = await refused_as_too_large(sandbox, patch)
    assert str(len(patch)) in message
    assert str(MAX_PATCH_BYTES) in message


@pytest.mark.docker
async def test_row_30_changes_of_78_megabytes(sandbox: Sandbox) -> None:
    with pytest.raises(PatchTooLarge, match=rf"big\.bin.*at most {MAX_FILE_BYTES}"):
        await sandbox.make_patch({RepoPath("big.bin"): os.urandom(78 * 1024**2)})


@pytest.mark.docker
async def test_row_30_files_that_are_taken_and_together_are_too_much(sandbox: Sandbox) -> None:
    with pytest.raises(PatchTooLarge, match=f"at most {MAX_PATCH_BYTES}"):
        await sandbox.make_patch({RepoPath(f"{number}.bin"): os.urandom(3 * 1024**2) for number in range(3)})


@pytest.mark.docker
async def test_row_30_a_patch_of_2000_files(sandbox: Sandbox) -> None:
    message = await refused_as_too_large(sandbox, "".join(new_file(f"many/{number}.py") for number in range(2000)))
    assert "2000 files" in message
    assert str(MAX_PATCH_FILES) in message
    with pytest.raises(PatchTooLarge, match="2000 files"):
        await sandbox.make_patch({RepoPath(f"many/{number}.py"): b"x\n" for number in range(2000)})


def test_row_30_what_is_just_small_enough_is_taken() -> None:
    line = "x" * 1022
    most = (MAX_PATCH_BYTES - len(new_file("f", 9999, line)) % 1024) // 1024 - 1
    assert check_patch(Patch(new_file("f", most, line))) == ("f",)
    assert len(check_patch(Patch("".join(new_file(f"{n}.py") for n in range(MAX_PATCH_FILES))))) == MAX_PATCH_FILES


LATIN1 = RepoPath(os.fsdecode("caf\u00e9/na\u00efve.py".encode("latin-1")))
# ruff: noqa: E501 - a table of texts
EXACT: dict[str, Changes] = {
    "binary": {RepoPath("data.bin"): bytes(reversed(range(256))) * 40, RepoPath("new.bin"): b"\0\1\2" * 999},
    "CRLF": {RepoPath("crlf.txt"): b"one\r\n2\r\nthree\r\nfour\r\n", RepoPath("new.txt"): b"a\r\nb\r\n"},
    "CRLF and LF in one file": {RepoPath("mixed.txt"): b"one\nTWO\r\nthree\n"},
    "no final newline": {RepoPath("no_newline.txt"): b"first\nand the last", RepoPath("new.txt"): b"x"},
    "a final newline taken away": {RepoPath("calc.py"): CALC.rstrip(b"\n")},
    "names with spaces": {RepoPath("with space.txt"): b"b\n", RepoPath(" a  b /c d.py"): b"x\n", RepoPath("end "): b"x\n"},
    "names with quotes": {RepoPath('quote"and\\slash.txt'): b"b\n", RepoPath("it's"): b"x\n", RepoPath('"'): b"x\n"},
    "names with line breaks": {RepoPath("line\nbreak.txt"): b"x\n", RepoPath("a\r\nb/\n.py"): b"x\n"},
    "names that are not UTF-8": {LATIN1: b"x = 1\n", RepoPath("\udcff\udcfe"): b"\xff"},
    "as many files as are taken": {RepoPath(f"many/{number}.py"): b"x\n" for number in range(MAX_PATCH_FILES)},
}  # fmt: skip


@pytest.mark.docker
@pytest.mark.parametrize("what", EXACT)
async def test_row_30_odd_files_apply_exactly(
    sandbox: Sandbox, repository: Repository, tmp_path: Path, what: str
) -> None:
    """In a clean workspace, from the workspace's own diff, and in a clean clone on the host."""
    changes = EXACT[what]
    patch = await sandbox.make_patch(changes)
    patch.encode("utf-8")
    assert set(check_patch(patch)) == set(changes)
    async with sandbox.workspace(patch) as workspace:
        for path in list(changes)[:5]:
            # Not by `read`: the engine's archives leave out files whose names are no text.
            shown = await workspace.run(["sh", "-c", 'base64 -w 0 < "$1"', "sh", path], limits=QUICK)
            assert base64.b64decode(shown.output) == changes[path], path
        assert await workspace.diff() == patch
    clone = clean_clone(repository, tmp_path, patch)
    for path, content in changes.items():
        assert (clone / path).read_bytes() == content, path


PLAIN = {**os.environ, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}


def clean_clone(repository: Repository, folder: Path, patch: Patch) -> Path:
    """The base commit's files with the patch, in a repository of their own whose attributes change nothing."""
    clone = folder / "clone"
    clone.mkdir()
    with tarfile.open(repository.snapshot.tar) as tar:
        tar.extractall(clone, filter="tar")
    subprocess.run(["git", "init", "-q"], cwd=clone, check=True, env=PLAIN)
    (clone / ".git" / "info").mkdir(exist_ok=True)
    (clone / ".git" / "info" / "attributes").write_text("* -text -filter !eol\n")
    subprocess.run(["git", "apply", "--binary", "-"], cwd=clone, input=patch.encode(), check=True, env=PLAIN)
    return clone
