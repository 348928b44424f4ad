"""What came of grading one patch: the record that is kept, and that all reports are made of."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict

SCHEMA_VERSION = 1


class Outcome(StrEnum):
    """How the grading of a patch ended."""

    RESOLVED = "resolved"
    UNRESOLVED = "unresolved"
    EMPTY_PATCH = "empty_patch"
    """There is nothing to grade."""
    PATCH_REJECTED = "patch_rejected"
    """It does not apply, or touches what no patch may."""
    TIMED_OUT = "timed_out"
    """The tests did not end in time with it."""
    INSTANCE_ERROR = "instance_error"
    """The instance is wrong: its row, repository, test patch or test command. Nothing is said of the patch."""
    INFRASTRUCTURE = "infrastructure"
    """Something that a run needs failed: an image, the engine, the disk. Nothing is said; the next run tries again."""


FINAL = frozenset(Outcome) - {Outcome.INSTANCE_ERROR, Outcome.INFRASTRUCTURE}
"""Outcomes that another run would find again."""


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TestRecord(Frozen):
    """Tests of one of the two lists, by what became of them."""

    __test__ = False  # pytest: not a test class

    success: tuple[str, ...] = ()
    failure: tuple[str, ...] = ()


class Evaluation(Frozen):
    """The grading of one patch of one instance."""

    schema_version: Literal[1] = SCHEMA_VERSION
    key: str = ""
    """Digest of the instance, the patch and how they were graded: equal keys are not graded twice."""
    instance_id: str
    system: str = ""
    """The prediction's `model_name_or_path`."""
    outcome: Outcome
    reason: str = ""
    """A sentence on the outcome, where the lists of tests do not say it."""
    notes: tuple[str, ...] = ()
    """What a reader should know besides: discarded changes, files that steer tests, claims of the log."""
    FAIL_TO_PASS: TestRecord = TestRecord()
    PASS_TO_PASS: TestRecord = TestRecord()
    flaky: tuple[str, ...] = ()
    """Tests of the two lists that both passed and failed on the same tree."""
    exit_code: int | None = None
    test_seconds: float = 0.0
    """Wall seconds of all runs of the tests for this patch, without sandboxes and images."""
    command: str = ""
    image: str = ""
    """Content digest of the environment's image."""
    log: str = ""
    """File name of the last run's log beside this record."""
