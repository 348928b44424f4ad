"""Values that the stages of selection hand on: classes, the vote matrix, regressions, the comparison, the selection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NewType

from agent.trajectory import Candidate, CandidateId, ScriptId, TestScript
from sandbox.base import Patch
from sandbox.script import ScriptRun, Verdict

ClassId = NewType("ClassId", str)

SEEN_FAILING = (Verdict.FAILED, Verdict.TIMED_OUT)
"""How a valid script can end on the unedited tree."""

UNEDITED_TREE = ClassId("unedited")
"""The column of the vote matrix for the unedited tree."""


@dataclass(frozen=True)
class PatchClass:
    """Candidates whose patches are equal up to formatting and comments; `patch` is the first member's."""

    id: ClassId
    patch: Patch
    members: tuple[Candidate, ...]

    @property
    def trajectories(self) -> frozenset[str]:
        """The authors: their scripts have no vote on this class."""
        return frozenset(member.trajectory for member in self.members)


@dataclass(frozen=True)
class VoteMatrix:
    """Verdicts of all test scripts on all classes and on the unedited tree."""

    scripts: tuple[TestScript, ...]
    classes: tuple[PatchClass, ...]
    cells: Mapping[tuple[ScriptId, ClassId], ScriptRun]

    def verdict(self, script: ScriptId, column: ClassId) -> Verdict:
        return self.cells[script, column].verdict


@dataclass(frozen=True)
class Regressions:
    """The repository's own tests that passed on the unedited tree (twice), and which of them each class breaks."""

    command: str
    """What was run; "" when the repository has no tests that could be run."""
    passing: tuple[str, ...]
    flaky: tuple[str, ...]
    broken: Mapping[ClassId, tuple[str, ...]]
    note: str = ""
    """Why there is nothing to run, or why not everything was run."""


@dataclass(frozen=True)
class Probe:
    """A call, found without a model, that gives different outputs on at least two classes."""

    id: str
    function: str
    """Path and qualified name, as `pkg/mod.py:Class.method`."""
    call: str
    """As one would write it: `mean([1, 2])`."""
    origin: ScriptId
    """The script that made the call, or `issue`, which shows it; of a varied one, the first to call the function."""
    varied: bool
    """No script made this call: its arguments are those of a recorded call, changed."""
    outputs: Mapping[ClassId, str]
    """Result, exception or end of each class; one without an output that is the same every time is missing."""
    on_unedited: str


@dataclass(frozen=True)
class ComparisonRound:
    """One executed comparison script: what it printed on the unedited tree and on each shortlisted class."""

    source: str
    runs: Mapping[ClassId, ScriptRun]


@dataclass(frozen=True)
class ComparisonPass:
    """One comparison trajectory: its order of candidates, its rounds, its choice (None: undecided)."""

    order: tuple[ClassId, ...]
    rounds: tuple[ComparisonRound, ...]
    choice: ClassId | None
    reason: str
    failed: bool = False
    """The model failed in it, or its budget is spent: another pass is not tried."""
    named: ClassId | None = None
    """What its last answer named, also where nothing executed spoke for it and so nothing was chosen."""


@dataclass(frozen=True)
class Comparison:
    """Two passes in different orders, more where they disagree; `choice` only where most of them agree."""

    passes: tuple[ComparisonPass, ...]
    choice: ClassId | None


@dataclass(frozen=True)
class Selection:
    """The final patch, the reasons, the confidence, and all that led there."""

    winner: CandidateId | None
    patch: Patch
    confidence: float
    """0 to 1: the estimated probability that the winner is right, see `selection.confidence`."""
    reasons: tuple[str, ...]
    """Plain sentences for the person who asked, in order of weight."""
    ranking: tuple[ClassId, ...]
    """Best first."""
    matrix: VoteMatrix
    weights: Mapping[ScriptId, float]
    votes: Mapping[ClassId, float]
    regressions: Regressions
    shortlist: tuple[ClassId, ...] = ()
    comparison: Comparison | None = None
    vetoed: Mapping[ClassId, str] = field(default_factory=dict[ClassId, str])
    probes: tuple[Probe, ...] = ()
    """Calls that separate the classes that the votes could not."""
    consensus: Mapping[ClassId, float] = field(default_factory=dict[ClassId, float])
    """0 to 1, by the probes, of the classes that were probed."""
