"""What a run used, stage by stage, and what is needed to repeat it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

from harness.config import Settings
from harness.report.text import clean, count, energy, percent, seconds
from harness.result import GpuRecord, Result
from harness.saving import not_made, why
from harness.units import money

STAGES = (
    "environment",
    "model",
    "context",
    "survey",
    "ranking",
    "candidates",
    "test_writing",
    "editing",
    "selection",
    "comparison",
)
"""The order in which stages are shown, those that spend tokens among those that the clock knows; others follow."""


@dataclass(frozen=True)
class StageView:
    """A row of the usage table: what a stage asked of the model."""

    name: str
    calls: str
    prompt: str
    cached: str
    completion: str
    model_seconds: str
    gpu: str
    """Its part of the GPUs' time, by how long its answers were under way; "" where that is not known."""
    money: str


@dataclass(frozen=True)
class TimeView:
    """A row of the timeline: what the clock said of a stage."""

    name: str
    wall: str
    bar: float
    """Per cent of the longest stage."""


def stages(result: Result) -> tuple[StageView, ...]:
    """The rows of the usage table, in the order of the stages."""
    return tuple(_stage(name, result) for name in in_order(result.usage) if name != "total")


def total(result: Result) -> StageView | None:
    """The table's last row."""
    return _stage("total", result) if "total" in result.usage else None


def timeline(result: Result) -> tuple[TimeView, ...]:
    """The stages by the clock, in their order. Some run side by side, so they may add up to more than the whole."""
    spent = result.stage_seconds
    longest = max(spent.values(), default=0.0) or 1.0
    return tuple(
        TimeView(name.replace("_", " "), seconds(spent[name]), round(100 * spent[name] / longest, 1))
        for name in in_order(spent)
    )


def in_order(names: Iterable[str]) -> list[str]:
    """Stages in the order of `STAGES`, then others as they come."""
    given = list(names)
    return [*(name for name in STAGES if name in given), *(name for name in given if name not in STAGES)]


def saved(result: Result) -> str:
    """Why sampling ended early and what that saved, in two sentences; "" where it went on to its end."""
    stopped = result.stopped
    return f"{why(stopped)}. {not_made(stopped, count)}." if stopped is not None else ""


def gpu_facts(gpu: GpuRecord | None) -> list[tuple[str, str]]:
    """What the GPUs spent, as facts of a headline."""
    if gpu is None:
        return []
    facts = [("GPU time", seconds(gpu.seconds))]
    facts += [("energy", energy(gpu.joules))] if gpu.joules is not None else []
    return facts + ([("GPU money", money(gpu.money))] if gpu.money else [])


def _stage(name: str, result: Result) -> StageView:
    usage, whole = result.usage[name], result.usage["total"].model_seconds
    gpu = result.gpu.seconds * usage.model_seconds / whole if result.gpu and whole else None
    return StageView(
        name=name.replace("_", " "),
        calls=count(usage.calls),
        prompt=count(usage.prompt_tokens),
        cached=share(usage.cached_tokens, usage.prompt_tokens),
        completion=count(usage.completion_tokens),
        model_seconds=seconds(usage.model_seconds),
        gpu="" if gpu is None else seconds(gpu),
        money=money(usage.money),
    )


def share(part: int, whole: int) -> str:
    """A part as per cent of the whole; `none` of nothing."""
    return percent(part / whole) if whole else "none"


def command(result: Result) -> str:
    """The command line that repeats the run: flags for what differs most, variables for other changed settings."""
    settings = dict(result.manifest.settings)
    words = ["bestpatch", "solve", "REPO", "--base", result.task.base_commit[:12], "--issue", "issue.md"]
    settings.pop("model", None)
    if result.manifest.model != "default":
        words += ["--model", result.manifest.model]
    words += ["--seed", str(result.manifest.seed)]
    settings.pop("seed", None)
    if "candidates" in settings:
        words += ["--candidates", str(settings.pop("candidates"))]
    variables = _changed(settings, Settings.model_construct().model_dump(mode="json"))
    return clean(" ".join([*variables, shlex.join(words)]), 4_000)


def _changed(settings: Mapping[str, object], defaults: Mapping[str, object], path: str = "BESTPATCH_") -> list[str]:
    """`BESTPATCH_SECTION__KEY=value` for each setting that is not the default; without those of one machine."""
    found: list[str] = []
    for key, value in sorted(settings.items()):
        if path == "BESTPATCH_" and key in ("budget", "paths", "sandbox"):
            continue
        default = defaults.get(key)
        if isinstance(value, Mapping) and isinstance(default, Mapping):
            inner = cast("Mapping[str, object]", value), cast("Mapping[str, object]", default)
            found += _changed(*inner, f"{path}{key.upper()}__")
        elif value != default and value not in (None, [], {}):
            # The name stays without quotes: a shell takes a quoted one for the command's.
            found.append(f"{path}{key.upper()}={shlex.quote(value if isinstance(value, str) else json.dumps(value))}")
    return found


def manifest_rows(result: Result) -> tuple[tuple[str, str], ...]:
    """The manifest for reading."""
    manifest = result.manifest
    return (
        ("task", result.task.id),
        ("base commit", result.task.base_commit),
        ("bestpatch", manifest.bestpatch),
        ("started", manifest.started),
        ("seed", str(manifest.seed)),
        ("model", manifest.model),
        ("model profile", manifest.profile),
        ("image digest", manifest.image_digest),
        ("base image", manifest.base_image),
        ("prompts digest", manifest.prompts_digest),
        ("Python", manifest.python),
        ("platform", manifest.platform),
    )
