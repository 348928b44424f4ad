"""A labelled pool: what is recorded of many tasks, so that every selection method can choose from the same material.

One `PoolTask` is one line of a pool's file. Beside candidates and their labels all parts may be empty; a method that
needs an empty part is not applicable to the pool. Methods never see `resolved` (see `selection.draws`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from agent.trajectory import ISSUE, CandidateId, ScriptId
from sandbox.script import Verdict
from selection.base import SEEN_FAILING, ClassId

SCHEMA_VERSION = 1


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PoolCandidate(Frozen):
    """A candidate with its label."""

    id: CandidateId
    source: str = ""
    """The model, system or setting that made it."""
    trajectory: str = ""
    """"" where the author is not known: then no script counts as its own."""
    script: ScriptId | None = None
    class_id: ClassId | None
    """None: no patch, one that does not apply, or one that changes nothing but formatting and comments."""
    patch: str = ""
    """May be left out; a pool without patches tells nothing of their size and lines."""
    passes_own_script: bool | None = None
    resolved: bool
    completion_tokens: int | None = Field(default=None, ge=0)


class PoolScript(Frozen):
    """A test script as it stands in the pool: without its source."""

    id: ScriptId
    trajectory: str = ""
    """`issue`, or the author's; "" where it is not known."""
    unedited: Verdict | None
    """Its verdict on the unedited tree; None where it was not run."""
    guard: bool = False
    """It passes on the unedited tree and votes all the same: see `agent.trajectory.TestScript`."""
    digest: str = ""
    """Names its source: scripts with equal digests have one ballot. "": unlike all others."""
    completion_tokens: int | None = Field(default=None, ge=0)


class PoolProbe(Frozen):
    """A distinguishing input: what each class gives for it."""

    id: str
    origin: str = ISSUE
    """The script it was taken from, or `issue`."""
    outputs: dict[ClassId, str]
    """Texts or digests; equal ones are the same behaviour. A class without one is like no other."""


class PoolJudgement(Frozen):
    """The chance that `first` is the better of two classes, as a model judged them in this order."""

    first: ClassId
    second: ClassId
    probability: float = Field(ge=0, le=1)


class TaskJudgements(Frozen):
    """Judgements of a task of a pool, in a file of their own: one line."""

    id: str = Field(min_length=1)
    judgements: tuple[PoolJudgement, ...]


class PoolPass(Frozen):
    """One pass of a comparison."""

    named: ClassId | None
    choice: ClassId | None
    """None also where nothing executed spoke for what it named."""
    completion_tokens: int = Field(default=0, ge=0)
    executions: int = Field(default=0, ge=0)


class PoolComparison(Frozen):
    """What the comparison trajectory said of some classes."""

    classes: tuple[ClassId, ...]
    single: bool
    """One pass that was shown no probes, as CodeMonkeys' selection machine is; else as `selection.comparison` does."""
    passes: tuple[PoolPass, ...]


class TaskComparisons(Frozen):
    """Comparisons of a task of a pool, in a file of their own: one line."""

    id: str = Field(min_length=1)
    comparisons: tuple[PoolComparison, ...]


class PoolTask(Frozen):
    """A task of a labelled pool."""

    schema_version: Literal[1] = SCHEMA_VERSION
    id: str = Field(min_length=1)
    group: str = ""
    """Such as the split it belongs to."""
    candidates: tuple[PoolCandidate, ...]
    scripts: tuple[PoolScript, ...] = ()
    cells: dict[ScriptId, dict[ClassId, Verdict]] = {}
    """Rows of the vote matrix. Each row is whole; a script without one was not run on the classes."""
    passing: int = Field(default=0, ge=0)
    """The repository's own tests that passed on the unedited tree."""
    broken: dict[ClassId, int] = {}
    """How many of those each class breaks."""
    probes: tuple[PoolProbe, ...] = ()
    judgements: tuple[PoolJudgement, ...] = ()
    comparisons: tuple[PoolComparison, ...] = ()

    @property
    def checked(self) -> tuple[PoolScript, ...]:
        """The scripts that have a vote: seen failing on the unedited tree, or a guard."""
        return tuple(s for s in self.scripts if s.id in self.cells and (s.guard or s.unedited in SEEN_FAILING))

    @property
    def classes(self) -> tuple[ClassId, ...]:
        """In the order of their first members."""
        return tuple(dict.fromkeys(c.class_id for c in self.candidates if c.class_id is not None))

    @model_validator(mode="after")
    def _whole(self) -> PoolTask:
        for kind, ids in (("candidate", [c.id for c in self.candidates]), ("script", [s.id for s in self.scripts])):
            if twice := _repeated(ids):
                raise ValueError(f"two {kind}s have the id {twice}")
        classes, scripts = set(self.classes), {s.id for s in self.scripts}
        for script, row in self.cells.items():
            if script not in scripts:
                raise ValueError(f"cells has a row of {script}, which is none of the scripts")
            if missing := classes - set(row):
                raise ValueError(f"the row of script {script} has no verdict on class {min(missing)}")
        for script in self.scripts:
            if script.unedited is Verdict.FAILED and classes and script.id not in self.cells:
                raise ValueError(f"script {script.id} failed on the unedited tree, but cells has no row of it")
        return self


def _repeated(ids: Iterable[str]) -> str | None:
    return next((name for name, count in Counter(ids).items() if count > 1), None)
