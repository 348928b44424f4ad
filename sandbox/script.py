"""Runs one test script on one tree and turns its end into a verdict.

The exit-code contract is kept here, not by the model: 0 the issue is fixed, 2 it is present, anything else
broken. A script may exit with these codes itself, or simply assert (see `Verdict`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sandbox.base import Execution, Limits, Patch, Sandbox, digest_of


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
    folder are importable.
    Raises PatchRejected, SandboxLost, SandboxTimeout, DiskFull.
    """
    raise RuntimeError  # written with the Docker backend


def run_key(sandbox: Sandbox, source: str, patch: Patch, limits: Limits) -> str:
    """Names the execution: equal keys need to be run only once."""
    return digest_of(sandbox.digest, source, patch, repr(limits))
