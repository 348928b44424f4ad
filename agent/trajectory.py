"""What a trajectory leaves behind: turns, a test script, a candidate."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NewType, Protocol

from agent.model.base import Completion, Stage
from sandbox.base import Patch
from sandbox.script import ScriptRun

CandidateId = NewType("CandidateId", str)
ScriptId = NewType("ScriptId", str)

ISSUE = "issue"
"""Stands for the trajectory of test scripts that no trajectory wrote: examples read from the issue's text."""


class Outcome(StrEnum):
    """What a turn's completion led to."""

    SCRIPT_VALID = "script_valid"
    """A test script that code has seen fail on the unedited tree."""
    SCRIPT_INVALID = "script_invalid"
    EDIT_APPLIED = "edit_applied"
    """An edit that became a patch; its script did not pass yet."""
    EDIT_PASSED = "edit_passed"
    """A patch on which the trajectory's script passes."""
    EDIT_INVALID = "edit_invalid"
    """Not found, ambiguous, does not parse, or changes nothing."""
    COMPARED = "compared"
    CHOSE = "chose"
    UNREADABLE = "unreadable"
    """No action could be read from the completion."""


@dataclass(frozen=True)
class Turn:
    """One completion and what it led to, as the journal and the report keep it."""

    stage: Stage
    trajectory: str
    index: int
    prompt: str
    """The message that this turn added to the conversation (on turn 0 without the shared prefix)."""
    completion: Completion
    outcome: Outcome
    feedback: str
    """What the next turn would be told: script output, edit errors; "" when there is nothing to say."""


class Recorder(Protocol):
    """Takes what happens as it happens. The journal and the live view implement it; a stage never reads it back."""

    def turn(self, turn: Turn) -> None: ...

    def stage(self, stage: str, done: int, total: int) -> None:
        """Progress of a stage: `done` of `total` units (files, trajectories, executions)."""
        ...

    def note(self, kind: str, detail: dict[str, object]) -> None:
        """A decision or an event worth keeping; `detail` is JSON."""
        ...


@dataclass(frozen=True)
class TestScript:
    """A standalone program that a model wrote, or that is an example of the issue (`trajectory` is `ISSUE` then).

    Valid: code has seen it fail on the unedited tree.
    """

    __test__ = False  # pytest: not a test class

    id: ScriptId
    source: str
    valid: bool
    trajectory: str
    on_unedited: ScriptRun
    guard: bool = False
    """An example that holds on the unedited tree and should go on to hold: it votes, although it did not fail."""


@dataclass(frozen=True)
class Candidate:
    """A patch, the test script written with it, and where it came from."""

    id: CandidateId
    patch: Patch
    script: TestScript | None
    trajectory: str
    passes_own_script: bool
