"""Makes one class of candidates whose patched trees are equal up to formatting and comments.

A class is voted on, tested and compared once; its size is a vote of its own. Candidates that only change formatting
or comments are left out: they are the unedited tree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agent.edit.normal import normal_form
from agent.edit.patched import FilePatch, apply_in_memory
from agent.trajectory import Candidate
from sandbox.base import Patch, RepoPath, Sandbox, Tree, digest_of
from sandbox.errors import PatchRejected, WorkspaceError
from selection.base import ClassId, PatchClass


async def classes_of(candidates: Sequence[Candidate], sandbox: Sandbox, tree: Tree) -> tuple[PatchClass, ...]:
    """The classes of the candidates, in the order of their first members, named c1, c2, ...

    `tree` is the unedited tree. Candidates whose tree equals it, and those whose patch does not apply, are in no
    class. Identical patches are read once; patches are applied in memory, and in the sandbox only where that cannot
    be done exactly. Raises SandboxLost, SandboxTimeout, DiskFull.
    """
    by_patch: dict[Patch, list[Candidate]] = {}
    for candidate in candidates:
        by_patch.setdefault(candidate.patch, []).append(candidate)
    by_key: dict[str, list[Patch]] = {}
    for patch in by_patch:
        key = await _key(patch, sandbox, tree)
        if key is not None:
            by_key.setdefault(key, []).append(patch)
    order = {id(candidate): number for number, candidate in enumerate(candidates)}
    groups = [
        sorted((member for patch in patches for member in by_patch[patch]), key=lambda member: order[id(member)])
        for patches in by_key.values()
    ]
    groups.sort(key=lambda members: order[id(members[0])])
    return tuple(
        PatchClass(ClassId(f"c{number}"), members[0].patch, tuple(members)) for number, members in enumerate(groups, 1)
    )


async def _key(patch: Patch, sandbox: Sandbox, tree: Tree) -> str | None:
    """Names the patched tree up to formatting and comments; None for the unedited one and for what does not apply."""
    if not patch.strip():
        return None
    files = apply_in_memory(patch, tree)
    if files is None:
        try:
            files = await _in_sandbox(patch, sandbox, tree)
        except PatchRejected:
            return None
        if files is None:
            return digest_of("patch", patch)
    return tree_key(files, tree)


def tree_key(files: Sequence[FilePatch], tree: Tree) -> str | None:
    """Names a patched tree by the files that differ from `tree` in more than formatting and comments; None if none."""
    parts: list[str] = []
    for file in sorted(files, key=lambda item: item.path):
        before, after = _form(file.path, tree.get(file.path)), _form(file.path, file.content)
        if before != after or _changes_mode(file):
            parts += [file.path, file.mode, after]
    return digest_of("tree", *parts) if parts else None


def _form(path: RepoPath, content: bytes | None) -> str:
    return "absent" if content is None else "file " + normal_form(path, content)


def _changes_mode(file: FilePatch) -> bool:
    return file.mode.startswith("old mode")


async def _in_sandbox(patch: Patch, sandbox: Sandbox, tree: Tree) -> tuple[FilePatch, ...] | None:
    """The changed files as git makes them; None when they cannot be read, or modes change."""
    paths = _named_paths(patch)
    if paths is None:
        return None
    after: dict[RepoPath, bytes | None] = {}
    async with sandbox.workspace(patch) as workspace:
        for path in paths:
            try:
                after[path] = await workspace.read(path)
            except WorkspaceError:
                after[path] = None
    return tuple(FilePatch(path, content, "") for path, content in _differing(after, tree).items())


def _differing(after: Mapping[RepoPath, bytes | None], tree: Tree) -> dict[RepoPath, bytes | None]:
    return {path: content for path, content in after.items() if content != tree.get(path)}


def _named_paths(patch: Patch) -> list[RepoPath] | None:
    """Every path in the patch's headers; None where a header is not plain, or says more than content."""
    paths: dict[RepoPath, None] = {}
    for line in patch.split("\n"):
        if line.startswith(("old mode ", "new mode ", "new file mode 100755", "new file mode 120000")):
            return None
        if line.startswith("diff --git "):
            middle = (len(line) - len("diff --git ")) // 2
            first, second = line[11 : 11 + middle], line[11 + middle + 1 :]
            if '"' in line:
                return None
            if first[2:] == second[2:]:
                paths[RepoPath(first[2:])] = None
            elif line.count(" ") == 3:
                names = line.split(" ")
                paths.update(dict.fromkeys([RepoPath(names[2][2:]), RepoPath(names[3][2:])]))
            else:
                return None
    return list(paths)
