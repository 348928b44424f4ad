"""What a study found: the whole of `study.json`, with a published schema and a schema version.

Scores are shares of tasks, 0 to 1, in expectation over ties and averaged over draws. An interval is [low, high], 95 %.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from selection.pool import Frozen

SCHEMA_VERSION = 1

Interval = tuple[float, float]


class PoolRecord(Frozen):
    """What was studied."""

    group: str
    """"" for all groups."""
    tasks: int
    candidates: int
    scripts: int
    sources: dict[str, int]
    """Source -> candidates."""
    signals: tuple[str, ...]
    """What is recorded of at least one task."""


class CostRecord(Frozen):
    """What a method would have caused for a task, in the mean; the candidates themselves are the same for all."""

    script_tokens: float | None
    """Completion tokens of the test scripts and comparisons it needs; None where the pool does not know them."""
    executions: float
    """Runs of scripts, those of comparisons too, of the repository's tests (one a tree) and of inputs."""
    judgements: float
    """Of pairs, by a model."""


class HitRecord(Frozen):
    """How often a right candidate is chosen where so many of the drawn ones are right."""

    right: int
    share: float
    """Of all draws."""
    hit: float


class MethodRecord(Frozen):
    """A method at one size."""

    name: str
    title: str
    source: str
    missing: tuple[str, ...]
    """Signals that it needs and the pool lacks: then it is not applicable, and there are no figures."""
    left_out: tuple[str, ...]
    """Signals that the published rule uses besides; without them it was applied all the same."""
    score: float | None = None
    gap_recovered: float | None = None
    """(score - random) / (oracle - random); None where the oracle is no better than random."""
    gap_interval: Interval | None = None
    """Percentile bootstrap over tasks."""
    minus_ours: float | None = None
    """Its gap recovered less that of `ours`."""
    minus_ours_interval: Interval | None = None
    """Paired: both on the same resampled tasks."""
    p_value: float | None = None
    """Of the difference of scores to `ours`: signs of the tasks' differences flipped at random, two-sided."""
    cost: CostRecord | None = None
    compared: float | None = None
    """Share of its comparisons that is recorded; for the others its choice is the one before a comparison."""
    hits: tuple[HitRecord, ...] = ()


class SizeRecord(Frozen):
    """All methods at one number of candidates and scripts."""

    candidates: int
    scripts: int
    """Drawn freely, where scripts have no known author; the others come with their authors' candidates."""
    draws: int
    """Of each task, at most: one is enough where only one is possible."""
    smaller: int
    """Tasks with fewer candidates: all of theirs are drawn."""
    random: float
    oracle: float
    completion_tokens: float | None
    """Of a task's drawn candidates, in the mean; None where the pool does not know them."""
    methods: tuple[MethodRecord, ...]
    calibration: CalibrationRecord


class BinRecord(Frozen):
    """Choices of `ours` whose confidence lies in a bin."""

    low: float
    high: float
    choices: int
    confidence: float
    """Their mean."""
    right: float
    """Share of them that is right."""


class AbstentionRecord(Frozen):
    """The score of the rest when a share of the tasks is left out."""

    left_out: float
    least_certain: float
    """Where those go whose choice had the lowest confidence."""
    oracle: float
    """Where wrong choices go first."""


class CalibrationRecord(Frozen):
    """How far `selection.confidence` can be trusted with the choices of `ours`."""

    brier: float | None
    """Mean squared difference of confidence and outcome; None without a choice."""
    baseline: float | None
    """The Brier score of the mean share right, said every time."""
    bins: tuple[BinRecord, ...]
    abstention: tuple[AbstentionRecord, ...]
    """Over draws and tasks; nothing left out comes first."""


class CoveragePoint(Frozen):
    k: int
    coverage: float
    fitted: float | None


class CoverageRecord(Frozen):
    """Share of tasks with a right candidate among k, by the unbiased estimator (arXiv 2107.03374).

    Fitted as exp(a k^b), as in Large Language Monkeys (arXiv 2407.21787).
    """

    source: str
    """"" for all sources together."""
    tasks: int
    """In which it has candidates: sources can only be compared where these are the same."""
    points: tuple[CoveragePoint, ...]
    a: float | None
    b: float | None


class ScriptsRecord(Frozen):
    """The scripts of one kind of author against the labels. A share of nothing is None."""

    author: str
    """`issue`, `trajectory`, or `unknown`."""
    written: int
    checked: float | None
    """Share of those written that fail on the unedited tree."""
    good: float | None
    """Share of those written, for tasks with a right candidate, that fail before and accept most right candidates."""
    accepts_right: float | None
    """Share of (checked script, right candidate) pairs that pass; 1 less false rejections."""
    rejects_wrong: float | None
    """Share of (checked script, wrong candidate) pairs that do not pass; 1 less false acceptances."""
    own_wrong_accepted: float | None
    """Share of wrong candidates that pass a checked script of their own author."""


class AdaptiveRecord(Frozen):
    """Sampling until a rule says stop: what it costs and what `ours` then chooses."""

    rule: str
    """`fixed`, `agreement`, `beta`, `beta-votes`, or `confidence`."""
    level: float
    """Candidates of `fixed`; the accepted risk of both `beta`; the confidence asked for; 0 of `agreement`."""
    candidates: float
    """Used for a task, in the mean."""
    score: float
    completion_tokens: float | None
    """Of candidates and their scripts, for a task in the mean."""


class AllocationRecord(Frozen):
    """How a budget of candidates is best split over the pool's sources."""

    candidates: int
    given: bool = False
    """Whether the split was given; else it was found on this pool by hill-climbing, and its score is too good."""
    split: dict[str, int]
    score: float
    even_split: dict[str, int]
    even_score: float
    gain_interval: Interval
    """Of the split's score less the even one's; too narrow where the split was chosen on the same tasks."""
    single: dict[str, float]
    """Source -> score when all candidates are of it."""
    tokens: dict[str, float | None] = Field(default_factory=dict[str, float | None])
    """Source -> completion tokens of a candidate with its scripts, in the mean; None where they are not known."""


class StudyRecord(Frozen):
    """The whole of `study.json`."""

    schema_version: Literal[1] = SCHEMA_VERSION
    bestpatch: str
    """Version."""
    files: tuple[str, ...]
    seed: int
    pool: PoolRecord
    sizes: tuple[SizeRecord, ...]
    coverage: tuple[CoverageRecord, ...]
    scripts: tuple[ScriptsRecord, ...]
    adaptive: tuple[AdaptiveRecord, ...]
    allocation: AllocationRecord | None = None
    notes: tuple[str, ...] = ()
    """What a reader should know of the figures."""
