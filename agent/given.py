"""Candidates that others made: taken through the same hygiene as our own, or refused with a reason.

A patch from a stranger is data. What it does to the tree is what git makes of it in a sandbox, and what is kept of it
is git's own diff of that tree, without what no patch should hold (`agent.edit.hygiene`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from agent.edit.hygiene import clean_changes
from agent.parallel import each
from agent.trajectory import Candidate, CandidateId
from sandbox.base import Patch, RepoPath, Sandbox, Tree
from sandbox.errors import PatchRejected, WorkspaceError
from sandbox.patch import check_patch

MOST = 256
"""Different patches that are looked at for one task."""


_BY = " by "
"""Between a given candidate's name and its source, in what stands for its trajectory."""


@dataclass(frozen=True)
class Given:
    """A patch as it came, and whose it is."""

    source: str
    patch: str


@dataclass(frozen=True)
class Taken:
    """What became of a given patch. Without a candidate it was refused, and the last note says why."""

    id: CandidateId
    source: str
    notes: tuple[str, ...]
    candidate: Candidate | None


async def take(given: Sequence[Given], sandbox: Sandbox, tree: Tree, *, parallel: int) -> tuple[Taken, ...]:
    """Each given patch in its order, as a candidate or refused. Equal texts are looked at once.

    Raises SandboxLost, SandboxTimeout, DiskFull.
    """
    texts = list(dict.fromkeys(_normal(one.patch) for one in given))

    async def look(text: str) -> tuple[Patch | None, tuple[str, ...]]:
        return await _looked_at(text, sandbox, tree)

    found = dict(zip(texts, await each(texts[:MOST], look, at_once=parallel), strict=False))
    many = (None, (f"refused: more than {MOST} different patches were given for the task",))
    taken: list[Taken] = []
    for number, one in enumerate(given):
        patch, notes = found.get(_normal(one.patch), many)
        name = CandidateId(f"given-{number}")
        candidate = Candidate(name, patch, None, f"{name}{_BY}{_named(one.source)}", False) if patch else None
        taken.append(Taken(name, _named(one.source), notes, candidate))
    return tuple(taken)


def source_of(candidate: Candidate) -> str:
    """Who made a candidate; "" for one of our own trajectories."""
    return candidate.trajectory.partition(_BY)[2]


def _named(source: str) -> str:
    """A system's name as it may be shown."""
    return re.sub(r"[^\w./+@ -]+", "-", source).strip()[:80] or "unknown"


def _normal(text: str) -> str:
    """The text without what copying adds at its ends, and with the blank lines that it takes away there.

    A diff's last line has its line break, and its last hunk the blank lines of context that it counts.
    """
    text = text.lstrip("\r\n")
    if not text.strip():
        return text
    return (text if text.endswith("\n") else text + "\n") + " \n" * _lost(text)


_HUNK = re.compile(r"^@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@.*\n", re.MULTILINE)


def _lost(text: str) -> int:
    """Lines of context that the last hunk of a diff lacks: at most three, which is all the context that git shows."""
    hunks = list(_HUNK.finditer(text))
    if not hunks:
        return 0
    last = hunks[-1]
    old, new = (1 if number is None else int(number) for number in last.groups())
    for line in text[last.end() :].removesuffix("\n").split("\n"):
        old -= line[:1] in ("", " ", "-")
        new -= line[:1] in ("", " ", "+")
    return old if old == new and 0 < old <= 3 else 0


async def _looked_at(text: str, sandbox: Sandbox, tree: Tree) -> tuple[Patch | None, tuple[str, ...]]:
    """The patch that is kept, None when it is refused, and what is to be said of it."""
    if not text.strip():
        return None, ("refused: it is empty",)
    try:
        check_patch(Patch(text))
        async with sandbox.workspace(Patch(text)) as workspace:
            whole = await workspace.diff()
            after: dict[RepoPath, bytes | None] = {}
            for path in check_patch(whole):
                try:
                    after[path] = await workspace.read(path)
                except WorkspaceError:
                    after[path] = None  # deleted, or no regular file
        changes = {path: content for path, content in after.items() if content != tree.get(path)}
        kept, removed = clean_changes(changes, tree)
        patch = only(whole, [path for path in after if path in kept or path not in changes])
        if not patch.strip():
            return None, (*removed, "refused: nothing of it can be kept")
        if patch != text:
            # It is another text than the one that was seen to apply: a clean tree must take it, and give it back.
            async with sandbox.workspace(patch) as workspace:
                if await workspace.diff() != patch:
                    return None, (*removed, "refused: what is kept of it does not apply as it is")
    except PatchRejected as error:
        return None, (f"refused: {' '.join(str(error).split())[:400]}",)
    return patch, tuple(removed)


def only(patch: Patch, paths: Sequence[RepoPath]) -> Patch:
    """The parts of a patch that git made (without renames) that are about these paths."""
    wanted = set(paths)
    # Inside a hunk every line begins with a blank, a sign or a backslash, and binary content has no blanks.
    parts = re.split(r"^(?=diff --git )", patch, flags=re.MULTILINE)
    return Patch("".join(part for part in parts if part and wanted.issuperset(check_patch(Patch(part)))))
