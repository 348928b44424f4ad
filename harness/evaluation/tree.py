"""Runs an instance's tests on a tree: the base commit, a patch, and on top the test files as the test patch has them.

What the patch did to those files is discarded: they are written last. Only what the tests' own process told counts
(`sandbox/recorded.py`); what the log claims besides is noticed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from harness import swebench
from harness.errors import InstanceError
from harness.evaluation.plan import TestPlan, rendered
from harness.instances import Instance
from sandbox.base import UNEDITED, Ended, Execution, Limits, Patch, RepoPath, Sandbox, Workspace
from sandbox.errors import PatchRejected, WorkspaceError
from sandbox.patch import check_patch
from sandbox.recorded import Recorded, run_recorded
from selection.execute import retried
from selection.regression import touched_files

Files = Mapping[RepoPath, bytes | None]
"""Path -> content, None for a file that must not be there."""

PASSED = frozenset({"PASSED", "XFAIL"})
"""Statuses that the official grading takes as passed."""

_PATCH = "/tmp/bestpatch-candidate.diff"  # noqa: S108 - inside the sandbox
_FUZZY = ("patch", "--batch", "--fuzz=5", "-p1", "--no-backup-if-mismatch", "-i", _PATCH)
"""The official harness' last try with a patch that git does not apply."""


_CONTEXT = 4
"""Lines of context after a change are three, unless somebody asked for more."""


@dataclass(frozen=True)
class TreeRun:
    """One run of the tests on one tree."""

    statuses: Mapping[str, str]
    """Test name -> status, in the parser's words; {} where the tests did not come to their end in time."""
    execution: Execution
    exit_code: int | None
    ended: bool
    claimed: frozenset[str]
    """Tests of which the log says that they passed, and nothing else does."""

    @property
    def timed_out(self) -> bool:
        return self.execution.ended is Ended.TIMED_OUT


async def test_files(instance: Instance, sandbox: Sandbox) -> Files:
    """The files of the test patch, applied to the base commit. Raises InstanceError, SandboxLost, SandboxTimeout."""
    patch = Patch(instance.test_patch)

    try:
        return await read_files(sandbox, check_patch(patch), patch)
    except PatchRejected as error:
        name = instance.instance_id
        raise InstanceError(name, f"{name}: the test patch does not apply to the base commit: {error}") from None


async def read_files(sandbox: Sandbox, paths: Sequence[RepoPath], patch: Patch = UNEDITED) -> Files:
    """What these files hold in a tree. Raises PatchRejected, SandboxLost, SandboxTimeout."""

    async def read() -> Files:
        async with sandbox.workspace(patch) as workspace:
            return {path: await _read(workspace, path) for path in paths}

    return await retried(read)


async def _read(workspace: Workspace, path: RepoPath) -> bytes | None:
    try:
        return await workspace.read(path)
    except WorkspaceError:
        return None


async def run_tree(
    instance: Instance, plan: TestPlan, sandbox: Sandbox, patch: Patch, files: Files, limits: Limits
) -> TreeRun:
    """Run the tests in a workspace of their own. `files` are written over the patched tree.

    Raises PatchRejected, SandboxLost, SandboxTimeout, DiskFull.
    """

    async def once() -> Recorded:
        async with sandbox.workspace(patch) as workspace:
            await _overwrite(workspace, files, touched_files(patch))
            return await run_recorded(workspace, sandbox.python, plan.program, limits, before=plan.before)

    recorded = await retried(once)
    log = recorded.execution.output
    printed = swebench.parse(plan.parser, instance.instance_id, log)
    statuses = {} if recorded.execution.ended is Ended.TIMED_OUT else printed
    if recorded.outcomes is not None:
        statuses = swebench.parse(plan.parser, instance.instance_id, rendered(recorded.outcomes, plan.program.kind))
    called, failed = _said(plan.parser, instance.instance_id, log)
    if recorded.outcomes is None:
        # With no record, a log that says two things of a test is the only sign of a lie.
        statuses = {name: "FAILED" if name in called & failed else status for name, status in statuses.items()}
    claimed = frozenset(name for name in called if statuses.get(name) not in PASSED)
    return TreeRun(statuses, recorded.execution, recorded.exit_code, recorded.ended, claimed)


def _said(parser: str, instance_id: str, log: str) -> tuple[set[str], set[str]]:
    """Tests that any line of a log calls passed, and those that any line calls something else."""
    passed: set[str] = set()
    other: set[str] = set()
    for line in log.splitlines():
        for name, status in swebench.parse(parser, instance_id, line).items():
            (passed if status in PASSED else other).add(name)
    return passed, other


async def _overwrite(workspace: Workspace, files: Files, touched: Sequence[RepoPath]) -> None:
    """Make these files what they have to be, whatever a patch that touches `touched` has put in their place.

    Raises SandboxLost, SandboxTimeout.
    """
    if away := _in_the_way(files, touched):
        await workspace.run(["rm", "-rf", "--", *away])
    for path, content in files.items():
        if content is not None:
            try:
                await workspace.write(path, content)
            except WorkspaceError:
                continue  # the patch made a file of a folder on the way: the tests cannot be found, and fail


def _in_the_way(files: Files, touched: Sequence[RepoPath]) -> list[RepoPath]:
    """Where writing alone does not do: a file must be gone, or the patch may have made something else of it."""

    def meets(path: RepoPath, other: RepoPath) -> bool:
        """One is the other, or lies in it."""
        return f"{path}/".startswith(f"{other}/") or f"{other}/".startswith(f"{path}/")

    return sorted(
        path for path, content in files.items() if content is None or any(meets(path, other) for other in touched)
    )


def completed(patch: Patch) -> Patch:
    """With the blank lines at the end of its last hunk that its writer has stripped off, which `patch` does without.

    Raises PatchRejected for a patch that must not be tried.
    """
    for missing in range(_CONTEXT):
        whole = Patch(patch + " \n" * missing)
        with suppress(PatchRejected):
            check_patch(whole)
            return whole
    check_patch(patch)
    return patch


async def applicable(sandbox: Sandbox, patch: Patch) -> tuple[Patch, bool]:
    """The patch as git takes it, and whether it took `patch` with fuzz to apply it, as the official harness does.

    Raises PatchRejected, SandboxLost, SandboxTimeout.
    """

    async def as_it_is() -> Patch:
        async with sandbox.workspace(patch):
            return patch

    try:
        return await retried(as_it_is), False
    except PatchRejected as error:
        rejected = error
    whole = completed(patch)

    async def with_fuzz() -> Patch:
        async with sandbox.workspace() as workspace:
            await workspace.write(_PATCH, whole.encode())
            execution = await workspace.run(_FUZZY)
            return await workspace.diff() if execution.exit_code == 0 else Patch("")

    found = await retried(with_fuzz)
    if not found:
        raise rejected
    return found, True
