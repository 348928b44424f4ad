"""Patches that the sandbox's own git made: in memory they give the same files, and classes come out right."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.edit.patched import apply_in_memory
from agent.trajectory import Candidate, CandidateId
from sandbox.base import Changes, Patch, Recipe, RepoPath, Sandbox, Snapshot, Tree, digest_of
from sandbox.docker import DockerBackend
from sandbox.errors import WorkspaceError
from selection.equivalence import classes_of

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]

BASE = os.environ.get("BESTPATCH_TEST_BASE", "python:3.11")
A, CRLF, OPEN, BINARY, NAMED = (RepoPath(p) for p in ("pkg/a.py", "crlf.py", "open.py", "data.bin", "häß lich.py"))
FILES: Tree = {
    A: b"def f(x):\n    return x\n",
    CRLF: b"a = 1\r\nb = 2\r\n",
    OPEN: b"x = 1\ny = 2",
    BINARY: b"\x00\x01\x02",
    NAMED: b"z = 1\n",
}
CHANGES: dict[str, Changes] = {
    "plain": {A: b"def f(x):\n    return x + 1\n"},
    "spaced": {A: b"def f(x):\n    # more\n    return x+1\n"},
    "crlf": {CRLF: b"a = 1\r\nb = 3\r\n"},
    "open": {OPEN: b"x = 1\ny = 3"},
    "closed": {OPEN: b"x = 1\ny = 3\n"},
    "gone": {OPEN: None},
    "new": {RepoPath("pkg/new.py"): b"", RepoPath("n.txt"): b"text"},
    "binary": {BINARY: b"\x00\x09"},
    "named": {NAMED: b"z = 2\n"},
    "moved": {OPEN: None, RepoPath("shut.py"): b"x = 1\ny = 2"},
    "comment": {A: b"# only this\ndef f(x):\n    return x\n"},
}


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    tar = tmp_path / "tree.tar"
    with tarfile.open(tar, "w", format=tarfile.GNU_FORMAT) as archive:
        for path, content in FILES.items():
            info = tarfile.TarInfo(path)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    backend = DockerBackend()
    parts = [part for path, content in FILES.items() for part in (path, content)]
    try:
        yield await backend.open(Recipe(base=BASE), Snapshot(tar, digest_of(*parts)), run_id="test-equivalence")
    finally:
        await backend.close()


async def test_patches_of_a_real_git(sandbox: Sandbox) -> None:
    tree = await sandbox.tree()
    assert tree == FILES
    patches = {name: await sandbox.make_patch(changes) for name, changes in CHANGES.items()}
    in_memory = 0
    for name, patch in patches.items():
        files = apply_in_memory(patch, tree)
        if files is None:
            continue
        in_memory += 1
        assert {file.path: file.content for file in files} == CHANGES[name]
        async with sandbox.workspace(patch) as workspace:
            for file in files:
                if file.content is not None:
                    assert await workspace.read(file.path) == file.content
                else:
                    with pytest.raises(WorkspaceError):
                        await workspace.read(file.path)
    assert in_memory >= len(CHANGES) - 3  # binary, and what git quotes or calls a rename
    candidates = [Candidate(CandidateId(name), patch, None, name, False) for name, patch in patches.items()]
    candidates.append(Candidate(CandidateId("bad"), Patch("diff --git a/x b/x\nnothing\n"), None, "bad", False))
    classes = await classes_of(candidates, sandbox, tree)
    groups = [[str(member.id) for member in item.members] for item in classes]
    assert groups == [
        ["plain", "spaced"], ["crlf"], ["open", "closed"], ["gone"], ["new"], ["binary"], ["named"], ["moved"],
    ]  # fmt: skip
