"""Derives from a result what the template shows: classes with names, stages with shares, trajectories with turns.

Every text of a model, a repository or a program passes through `clean` here; escaping is the template's.
"""

from __future__ import annotations

import json
import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.report.diff import FileDiff, read_diff
from harness.report.executions import Outcome, PassView, ProbeView, column, comparison, outcome, passes, probes
from harness.report.matrix_svg import MEANINGS, SYMBOLS, Picture, picture
from harness.report.prose import Block, blocks
from harness.report.story import Story, tell
from harness.report.text import clean, count, first_line, plural, seconds
from harness.report.usage import (
    STAGES,
    StageView,
    TimeView,
    command,
    gpu_facts,
    manifest_rows,
    saved,
    share,
    stages,
    timeline,
    total,
)
from harness.result import CandidateRecord, Result, ScriptRecord, TurnRecord
from harness.units import money

TURNS_SHOWN = 400
"""Turns of a report. A run of the default size has about 60."""


PATCH_SHOWN = 200_000
"""Characters of the longest patch that is in the page as text; `patch.diff` has every one."""


@dataclass(frozen=True)
class ClassView:
    """Candidates with the same patch up to formatting and comments."""

    id: str
    name: str
    members: tuple[CandidateRecord, ...]
    votes: float
    own: int
    """Members that pass the script they were written with."""
    broken: tuple[str, ...]
    rank: int | None
    winner: bool
    shortlisted: bool
    vetoed: str
    files: tuple[FileDiff, ...]


@dataclass(frozen=True)
class LooseView:
    """A candidate that no selection put into a class, because the run ended before."""

    record: CandidateRecord
    files: tuple[FileDiff, ...]


@dataclass(frozen=True)
class ScriptView:
    name: str
    record: ScriptRecord
    source: str
    outcomes: tuple[Outcome, ...]
    guard: bool
    """It votes although it is not valid: an example of the issue that held before."""


@dataclass(frozen=True)
class TrajectoryView:
    name: str
    stage: str
    heads: bool
    """The first one of its stage."""
    turns: tuple[TurnRecord, ...]
    last: str
    """The last turn's outcome."""
    tokens: str


@dataclass(frozen=True)
class View:
    result: Result
    title: str
    story: Story
    issue: tuple[Block, ...]
    reasons: tuple[str, ...]
    warnings: tuple[str, ...]
    regression: str
    """What the repository's own tests said, in one sentence."""
    patch: str
    """The patch byte for byte, for copying; "" when it is too long for a page."""
    facts: tuple[tuple[str, str], ...]
    classes: tuple[ClassView, ...]
    loose: tuple[LooseView, ...]
    winner: ClassView | None
    picture: Picture | None
    legend: tuple[tuple[str, str, str], ...]
    scripts: tuple[ScriptView, ...]
    probes: tuple[ProbeView, ...]
    passes: tuple[PassView, ...]
    comparison: str
    trajectories: tuple[TrajectoryView, ...]
    turns_left_out: int
    stages: tuple[StageView, ...]
    total: StageView | None
    timeline: tuple[TimeView, ...]
    saved: str
    """Why sampling ended early, and what that saved."""
    command: str
    manifest: tuple[tuple[str, str], ...]
    settings: str


def make_view(result: Result, turns: Sequence[TurnRecord]) -> View:
    """Everything the template needs, in the order it is shown."""
    names = class_names(result)
    classes = tuple(_class(result, identity, name) for identity, name in names.items())
    labels = {**names, **{script.id: f"S{number}" for number, script in enumerate(result.scripts, 1)}}
    return View(
        result=result,
        title=first_line(result.task.issue) or "An issue without text",
        story=tell(result),
        issue=_issue(result.task.issue),
        reasons=tuple(clean(reason, 2_000) for reason in result.reasons),
        warnings=tuple(clean(warning, 2_000) for warning in result.warnings),
        regression=_regression(result),
        patch=result.patch if len(result.patch) <= PATCH_SHOWN else "",
        facts=_facts(result, len(classes)),
        classes=classes,
        loose=tuple(LooseView(item, read_diff(item.patch)) for item in result.candidates if item.class_id is None),
        winner=next((item for item in classes if item.winner), None),
        picture=picture(result, list(names), labels),
        legend=tuple((verdict, SYMBOLS[verdict], MEANINGS[verdict]) for verdict in SYMBOLS),
        scripts=tuple(_script(result, script, labels) for script in result.scripts),
        probes=probes(result, names),
        passes=passes(result, names),
        comparison=comparison(result, names),
        trajectories=_trajectories(turns[:TURNS_SHOWN]),
        turns_left_out=max(0, len(turns) - TURNS_SHOWN),
        stages=stages(result),
        total=total(result),
        timeline=timeline(result),
        saved=saved(result),
        command=command(result),
        manifest=manifest_rows(result),
        settings=clean(json.dumps(result.manifest.settings, indent=2, sort_keys=True, default=str))
        if result.manifest.settings
        else "",
    )


def _issue(text: str) -> tuple[Block, ...]:
    """The issue without a heading that the page's title repeats."""
    found = blocks(text)
    return found[1:] if len(found) > 1 and found[0].kind == "heading" else found


def _facts(result: Result, classes: int) -> tuple[tuple[str, str], ...]:
    """The figures of the headline."""
    candidates = count(len(result.candidates))
    facts = [
        ("repository", f"{clean(result.task.repository, 100)} @ {result.task.base_commit[:10]}"),
        ("candidates", f"{candidates} in {plural(classes, 'class', 'classes')}" if classes else candidates),
        ("wall time", seconds(result.wall_seconds)),
        ("sandbox time", seconds(result.sandbox_seconds)),
    ]
    spent = result.usage.get("total")
    if spent is not None:
        cached = share(spent.cached_tokens, spent.prompt_tokens)
        facts += [
            ("tokens", count(spent.prompt_tokens + spent.completion_tokens)),
            ("prompt tokens cached", cached),
            ("money", money(spent.money)),
        ]
    return (*facts, *gpu_facts(result.gpu))


def class_names(result: Result) -> dict[str, str]:
    """Class id -> a letter, best rank first, so that people can speak of "class B"."""
    best: dict[str, tuple[bool, int, int]] = {}
    for place, item in enumerate(result.candidates):
        if item.class_id is not None:
            key = (item.id != result.winner, item.rank if item.rank is not None else 10**6, place)
            best[item.class_id] = min(key, best.get(item.class_id, key))
    return {name: _letters(number) for number, name in enumerate(sorted(best, key=lambda name: best[name]))}


def _letters(number: int) -> str:
    """A, B, ... Z, AA, AB, ..."""
    head, last = divmod(number, 26)
    return (_letters(head - 1) if head else "") + string.ascii_uppercase[last]


def _class(result: Result, identity: str, name: str) -> ClassView:
    members = tuple(item for item in result.candidates if item.class_id == identity)
    winning = next((item for item in members if item.id == result.winner), None)
    return ClassView(
        id=identity,
        name=name,
        members=members,
        votes=members[0].votes,
        own=sum(item.passes_own_script for item in members),
        broken=tuple(clean(test, 200) for test in members[0].broken_tests),
        rank=members[0].rank,
        winner=winning is not None,
        shortlisted=identity in result.shortlist,
        vetoed=clean(result.vetoed.get(identity, ""), 500),
        files=read_diff(result.patch if winning and result.patch else (winning or members[0]).patch),
    )


def _script(result: Result, script: ScriptRecord, labels: dict[str, str]) -> ScriptView:
    outcomes = tuple(
        outcome(column(cell.column, labels), cell.execution, cell.verdict)
        for cell in result.matrix
        if cell.script == script.id
    )
    return ScriptView(labels[script.id], script, clean(script.source), outcomes, bool(outcomes) and not script.valid)


def _regression(result: Result) -> str:
    found = result.regression
    if found is None:
        return ""
    said = f"The repository's own tests were run with {clean(found.command, 300)!r}: " if found.command else ""
    if found.command and not found.passing:
        said += "nothing came of it."
    elif found.command:
        said += f"{plural(found.passing, 'test')} passed before"
        said += f", {len(found.flaky)} left out as flaky." if found.flaky else "."
    return f"{said} {clean(found.note, 500)}".strip()


def _trajectories(turns: Iterable[TurnRecord]) -> tuple[TrajectoryView, ...]:
    grouped: dict[tuple[str, str], list[TurnRecord]] = {}
    for turn in turns:
        shown = turn.model_copy(
            update={name: clean(getattr(turn, name), 12_000) for name in ("prompt", "completion", "feedback")}
        )
        grouped.setdefault((turn.stage, turn.trajectory), []).append(shown)
    order = {name: place for place, name in enumerate(STAGES)}
    keys = sorted(grouped, key=lambda key: (order.get(key[0], len(order)), _natural(key[1])))
    return tuple(
        TrajectoryView(
            name=key[1],
            stage=key[0].replace("_", " "),
            heads=not place or keys[place - 1][0] != key[0],
            turns=tuple(sorted(grouped[key], key=lambda turn: turn.index)),
            last=max(grouped[key], key=lambda turn: turn.index).outcome,
            tokens=count(sum(turn.completion_tokens for turn in grouped[key])),
        )
        for place, key in enumerate(keys)
    )


def _natural(name: str) -> tuple[tuple[int, int | str], ...]:
    """A sorting key that puts editing-2 before editing-10."""
    parts = "".join(c if c.isdigit() else " " for c in name).split()
    words = "".join(" " if c.isdigit() else c for c in name).split()
    return (*((1, word) for word in words), *((0, int(part)) for part in parts))
