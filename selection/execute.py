"""One execution for selection: retried while the sandbox is lost, and always a `ScriptRun` in the end.

Selection compares candidates by what happened to them, so an engine that stumbles must not look like a candidate that
does: the execution is tried again, and only then becomes a broken cell that says why (reference: a killed or restarted
daemon is "typed, retried with back-off up to k, no duplicate containers").
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import anyio

from sandbox.base import Ended, Execution, Limits, Patch, Sandbox
from sandbox.errors import SandboxLost, SandboxTimeout
from sandbox.script import ScriptRun, Verdict, run_script

PAUSES = (0.5, 2.0, 8.0)
"""Seconds before the first, second and third new try: a restarting Docker daemon answers again within about ten."""

T = TypeVar("T")


async def retried(operation: Callable[[], Awaitable[T]]) -> T:
    """The operation's value, tried again after each of `PAUSES` while the sandbox is lost or does not answer.

    Raises SandboxLost, SandboxTimeout when the last try ends so as well.
    """
    for pause in PAUSES:
        try:
            return await operation()
        except (SandboxLost, SandboxTimeout):
            await anyio.sleep(pause)
    return await operation()


async def side_by_side(jobs: Iterable[Callable[[], Awaitable[None]]]) -> None:
    """Run all jobs at once. The first exception cancels the others and is raised itself, not in a group."""
    failed: list[Exception] = []

    async def one(job: Callable[[], Awaitable[None]]) -> None:
        try:
            await job()
        except Exception as error:
            failed.append(error)
            group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        for job in jobs:
            group.start_soon(one, job)
    if failed:
        raise failed[0]


async def execute(sandbox: Sandbox, source: str, patch: Patch, limits: Limits) -> ScriptRun:
    """Run a test script on a tree. A sandbox that stays lost gives a broken run whose output says so.

    Raises PatchRejected, DiskFull.
    """
    try:
        return await retried(lambda: run_script(sandbox, source, patch, limits))
    except (SandboxLost, SandboxTimeout) as error:
        return not_run(f"not run: the sandbox was lost {len(PAUSES) + 1} times ({error})")


def not_run(reason: str) -> ScriptRun:
    """A broken cell for an execution that never came about."""
    return ScriptRun(Verdict.BROKEN, Execution(Ended.EXITED, None, reason, 0, 0.0))
