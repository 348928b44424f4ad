"""Runs one test script on one tree and turns its end into a verdict.

The exit-code contract is kept here, not by the model: 0 the issue is fixed, 2 it is present, anything else
broken. A script may exit with these codes itself, or simply assert (see `Verdict`); `inside/runner.py` maps one
to the other and says which ends prove nothing, and `inside/witness.py` sees that an end was reached at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sandbox import inside
from sandbox.base import Ended, Execution, Limits, Patch, Sandbox

SCRIPT_PATH = "/tmp/bestpatch-script/test_script.py"  # noqa: S108 - inside the sandbox, where nobody else is
"""Where the script lies: outside the repository, in a folder of its own, under a name that pytest collects."""


class Verdict(StrEnum):
    """What one test script says of one tree."""

    PASSED = "passed"
    """Exit 0: the script ended without an assertion failing. The issue is fixed."""
    FAILED = "failed"
    """Exit 2, or an AssertionError that left the script. The issue is present."""
    BROKEN = "broken"
    """Any other end: another exception, another exit code, a signal, out of memory."""
    TIMED_OUT = "timed_out"


@dataclass(frozen=True)
class ScriptRun:
    """One cell of the vote matrix: the verdict and what the script printed."""

    verdict: Verdict
    execution: Execution


async def run_script(sandbox: Sandbox, source: str, patch: Patch, limits: Limits) -> ScriptRun:
    """Run a test script on the tree with the patch, in a pristine workspace of its own.

    The script lies outside the repository and runs from its own folder; the repository's root and its `src`
    folder are importable, after what is installed.
    Raises PatchRejected, SandboxLost, SandboxTimeout, DiskFull.
    """
    async with sandbox.workspace(patch) as workspace:
        await workspace.write(SCRIPT_PATH, source.encode("utf-8", "replace"))
        execution = await workspace.run(
            script_command(sandbox.python, SCRIPT_PATH, workspace.repository),
            cwd=SCRIPT_PATH.rpartition("/")[0],
            limits=limits,
        )
    return ScriptRun(verdict_of(execution), execution)


def script_command(python: str, path: str, repository: str) -> list[str]:
    """Runs a script as `inside/runner.py` says."""
    return _witnessed(python, path, repository)


def module_command(python: str, module: str, *arguments: str) -> list[str]:
    """Runs a module as `python -m` does, with exit code 0 only if the module itself came to its end."""
    return _witnessed(python, "-m", module, *arguments)


def _witnessed(python: str, *arguments: str) -> list[str]:
    witness, runner = inside.source("witness.py").decode(), inside.source("runner.py").decode()
    return [python, "-I", "-S", "-c", witness, python, runner, *arguments]


def verdict_of(execution: Execution) -> Verdict:
    """How an execution of the runner reads as a verdict."""
    if execution.ended is Ended.TIMED_OUT:
        return Verdict.TIMED_OUT
    if execution.ended is Ended.EXITED and execution.exit_code == 0:
        return Verdict.PASSED
    if execution.ended is Ended.EXITED and execution.exit_code == 2:
        return Verdict.FAILED
    return Verdict.BROKEN
