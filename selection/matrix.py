"""The vote matrix: every valid test script on every class and on the unedited tree.

Each cell runs in a pristine workspace and never twice: equal script sources share their runs, and what a script did
on the unedited tree is known from the trajectory that wrote it. Only valid scripts have a row: one that was not seen
failing before the fix says nothing about the fix (CodeMonkeys lets all scripts vote and never reads that column). The
one exception are guards, examples of the issue that hold and must go on to hold (`agent.example_scripts`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from agent.trajectory import ISSUE, Recorder, ScriptId, TestScript
from sandbox.base import Limits, Sandbox
from sandbox.errors import PatchRejected
from sandbox.script import ScriptRun, Verdict
from selection.base import SEEN_FAILING, UNEDITED_TREE, ClassId, PatchClass, VoteMatrix
from selection.execute import execute, not_run, side_by_side


@dataclass(frozen=True)
class Filled:
    """The matrix, and the classes whose patch the sandbox refused to apply, with its reason."""

    matrix: VoteMatrix
    rejected: Mapping[ClassId, str]


def voters(scripts: Sequence[TestScript]) -> tuple[TestScript, ...]:
    """The scripts with a row: valid, or guards, by the word and by the recorded run; each id once."""
    seen: set[ScriptId] = set()
    kept: list[TestScript] = []
    for script in scripts:
        before = script.on_unedited.verdict
        counts = (script.valid and before in SEEN_FAILING) or (script.guard and before is Verdict.PASSED)
        if counts and script.id not in seen:
            seen.add(script.id)
            kept.append(script)
    return tuple(kept)


async def vote_matrix(
    scripts: Sequence[TestScript],
    classes: Sequence[PatchClass],
    sandbox: Sandbox,
    limits: Limits,
    parallel: int,
    recorder: Recorder,
) -> Filled:
    """Fill the matrix, `parallel` executions at a time.

    A class whose patch is refused keeps its column, broken throughout, and is named in `rejected`. It stops no other.
    Raises DiskFull.
    """
    rows = voters(scripts)
    sources = list(dict.fromkeys(row.source for row in rows))
    cells: dict[tuple[str, ClassId], ScriptRun] = {}
    rejected: dict[ClassId, str] = {}
    # One class after the other for each of those that work side by side: a workspace serves the next execution on the
    # same tree. Who has done its share takes from the end of the longest one.
    pairs = [(source, patch_class) for patch_class in classes for source in sources]
    total, width = len(pairs), max(1, parallel)
    shares = [deque(pairs[total * n // width : total * (n + 1) // width]) for n in range(width)]

    async def fill(source: str, patch_class: PatchClass) -> None:
        if patch_class.id in rejected:
            run = not_run(rejected[patch_class.id])
        else:
            try:
                run = await execute(sandbox, source, patch_class.patch, limits)
            except PatchRejected as error:
                rejected[patch_class.id] = f"its patch does not apply: {error}"
                run = not_run(rejected[patch_class.id])
        cells[source, patch_class.id] = run
        recorder.stage("matrix", len(cells), total)

    async def work(share: deque[tuple[str, PatchClass]]) -> None:
        while any(shares):
            await fill(*(share.popleft() if share else max(shares, key=len).pop()))

    recorder.stage("matrix", 0, total)
    await side_by_side(partial(work, share) for share in shares)

    table: dict[tuple[ScriptId, ClassId], ScriptRun] = {}
    for row in rows:
        table[row.id, UNEDITED_TREE] = row.on_unedited
        for patch_class in classes:
            run = cells[row.source, patch_class.id]
            table[row.id, patch_class.id] = not_run(rejected[patch_class.id]) if patch_class.id in rejected else run
    ordered = {c.id: rejected[c.id] for c in classes if c.id in rejected}
    return Filled(VoteMatrix(rows, tuple(classes), table), ordered)


def examples_passed(matrix: VoteMatrix, on: ClassId) -> tuple[int, int]:
    """How many of the issue's examples pass on a class, and how many have a row."""
    rows = [script.id for script in matrix.scripts if script.trajectory == ISSUE]
    return sum(matrix.verdict(row, on) is Verdict.PASSED for row in rows), len(rows)
