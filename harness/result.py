"""`result.json`: what a run leaves behind, with a published schema and a schema version.

A reader may rely on every field here; a change of meaning or shape raises `SCHEMA_VERSION`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict

SCHEMA_VERSION = 1


class Record(BaseModel):
    """Base of all records: frozen, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Status(StrEnum):
    SELECTED = "selected"
    """A patch was chosen."""
    NO_CANDIDATE = "no_candidate"
    """Every trajectory ended without a patch that applies."""
    ABSTAINED = "abstained"
    """There were candidates, but the confidence is below --min-confidence."""
    INTERRUPTED = "interrupted"
    BUDGET_SPENT = "budget_spent"
    """The budget ended before there was a candidate."""
    FAILED = "failed"
    """Infrastructure failed; `error` says what and what to do."""


class TaskRecord(Record):
    id: str
    repository: str
    base_commit: str
    issue: str


class ExecutionRecord(Record):
    ended: str
    exit_code: int | None
    output: str
    seconds: float


class ScriptRecord(Record):
    id: str
    trajectory: str
    """`issue`: no trajectory wrote it, it is an example read from the issue."""
    source: str
    valid: bool
    """Code has seen it fail on the unedited tree."""
    weight: float


class CandidateRecord(Record):
    id: str
    trajectory: str
    script: str | None
    patch: str
    class_id: str | None
    """Candidates whose patches are equal up to formatting and comments share it; None before selection."""
    passes_own_script: bool
    votes: float
    """Its class' weighted share of the test scripts that have a say, 0 to 1."""
    broken_tests: tuple[str, ...]
    """Tests of the repository that passed before and do not pass with it."""
    consensus: float | None = None
    """How many candidates, 0 to 1, give its class's outputs in the probes; None where it was not probed."""
    rank: int | None
    """1 is the winner's class; None when it was vetoed or never ranked."""


class GivenRecord(Record):
    """A candidate that somebody else made, and what became of it."""

    id: str
    source: str
    """Whose it is: `model_name_or_path` of its line, or the run that it is of."""
    refused: bool
    """It is no candidate; the last note says why."""
    notes: tuple[str, ...]
    """What was left out of it, and what is to be known of it."""


class CellRecord(Record):
    """One execution of the vote matrix; `column` is a class id or `unedited`."""

    script: str
    column: str
    verdict: Literal["passed", "failed", "broken", "timed_out"]
    execution: ExecutionRecord


class RegressionRecord(Record):
    command: str
    passing: int
    flaky: tuple[str, ...]
    broken: dict[str, tuple[str, ...]]
    note: str


class ProbeRecord(Record):
    """A call, found without a model, on which classes that the votes leave in doubt give different outputs."""

    id: str
    function: str
    """Path and qualified name, as `pkg/mod.py:Class.method`."""
    call: str
    """As one would write it: `mean([1, 2])`."""
    origin: str
    """The script that made it, or `issue`; of a varied one, the first to call the function."""
    varied: bool
    """Its arguments are those of another call, changed."""
    outputs: dict[str, str]
    """By class id; a class is missing whose output was not the same twice."""
    on_unedited: str


class ComparisonRoundRecord(Record):
    source: str
    runs: dict[str, ExecutionRecord]


class ComparisonPassRecord(Record):
    order: tuple[str, ...]
    rounds: tuple[ComparisonRoundRecord, ...]
    choice: str | None
    reason: str


class ComparisonRecord(Record):
    passes: tuple[ComparisonPassRecord, ...]
    choice: str | None


class UsageRecord(Record):
    calls: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    model_seconds: float
    money: float
    """US dollars by the profile's prices."""


class GpuRecord(Record):
    """What the GPUs of a server that bestpatch started have spent for a run, in all invocations on its directory."""

    seconds: float
    """Of all GPUs together, busy or not."""
    joules: float | None
    """None where the driver does not tell."""
    money: float
    """US dollars by the price of a GPU hour."""


class StepRecord(Record):
    """A step of sampling that would have cost more than it is worth."""

    candidates: int
    cost: float
    """US dollars, about: each candidate as much as the mean of those made."""
    worth: float
    """US dollars, at most: `selection.worth` times the chance that the leader is not the one to choose."""


class SavedRecord(Record):
    """An estimate of what candidates that were not made would have cost: each as much as the mean of those made."""

    candidates: int
    completion_tokens: int
    """Of scripts and edits."""
    money: float | None
    """US dollars by the profile's prices for tokens; None where they have none."""


class StoppedRecord(Record):
    """Sampling ended early: the leader of the votes was safe, or more would have cost more than it is worth."""

    made: int
    """Candidates that were tried for, one by each trajectory that ran."""
    asked: int
    """Candidates that might have been made."""
    chance: float
    """That the leader's group is the most frequent one."""
    not_worth: StepRecord | None = None
    """The next step, where its cost was the reason; None: `chance` was, being at least 1 - `selection.risk`."""
    saved: SavedRecord | None = None
    """None in files of before it was counted."""


class TurnRecord(Record):
    """One turn of one trajectory, as the report shows it."""

    stage: str
    trajectory: str
    index: int
    prompt: str
    completion: str
    finish: str
    outcome: str
    feedback: str
    completion_tokens: int
    seconds: float


class Manifest(Record):
    """What is needed to repeat the run."""

    bestpatch: str
    python: str
    platform: str
    started: str
    """UTC, ISO 8601."""
    seed: int
    model: str
    profile: str
    image_digest: str
    """The engine's id of the environment's image."""
    base_image: str = ""
    """What that was made of: `NAME@sha256:...` where a registry gave it, else the name and the engine's id."""
    prompts_digest: str
    """SHA-256 over the source of the prompt modules."""
    settings: dict[str, object]


class ErrorRecord(Record):
    kind: str
    message: str
    log: str = ""


class Result(Record):
    """The whole of `result.json`."""

    schema_version: Literal[1] = SCHEMA_VERSION
    status: Status
    task: TaskRecord
    winner: str | None
    """The id of the chosen candidate; None unless the status is `selected`."""
    patch: str
    """The chosen patch as a unified diff; empty unless the status is `selected`."""
    confidence: float | None
    """0 to 1; of the best candidate also where bestpatch abstained."""
    reasons: tuple[str, ...]
    """Plain sentences, in order of weight."""
    warnings: tuple[str, ...] = ()
    """What is wrong around the run, such as a package that cannot be imported in its environment."""
    candidates: tuple[CandidateRecord, ...]
    scripts: tuple[ScriptRecord, ...]
    matrix: tuple[CellRecord, ...]
    shortlist: tuple[str, ...]
    """Class ids."""
    vetoed: dict[str, str]
    """Class id -> why it cannot be chosen."""
    regression: RegressionRecord | None
    probes: tuple[ProbeRecord, ...] = ()
    """Calls that separate the classes that the votes left in doubt."""
    comparison: ComparisonRecord | None
    usage: dict[str, UsageRecord]
    """By stage, and `total`."""
    gpu: GpuRecord | None = None
    """None where the server was not the run's own: it is another program's, or a batch's, which has it whole."""
    sandbox_seconds: float
    """Wall seconds of all executions, added up; more than the clock's where they ran side by side."""
    wall_seconds: float
    """Of all invocations on the run's directory."""
    stage_seconds: dict[str, float]
    """Wall seconds by stage: model, environment, context, candidates, selection. The first two overlap."""
    manifest: Manifest
    error: ErrorRecord | None = None
    given: tuple[GivenRecord, ...] = ()
    """Of `bestpatch select`: all candidates that were given, in their order."""
    budget_spent: str | None = None
    """The limit of the budget that ended it early; what was there was selected among. None: it came to its own end."""
    stopped: StoppedRecord | None = None
    """Why fewer candidates were made than asked for; None: sampling went on to its end, or to the budget's."""
