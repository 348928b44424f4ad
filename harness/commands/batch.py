"""`bestpatch batch`: many instances as one run that goes on by itself."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from agent.task import Task
from harness.batch import BatchSettings, Job
from harness.batch_record import BatchSummary
from harness.commands.common import EXIT, give, run_until_signal
from harness.commands.exit import FAILED, INTERRUPTED, Exit
from harness.config import BudgetSettings, Settings
from harness.errors import SettingsError
from harness.instances import Instance, chosen, read_instances, task_of
from harness.load import load
from harness.progress_state import duration
from harness.result import Status
from harness.saving import saving
from harness.units import read_budget, read_seconds


@dataclass(frozen=True)
class Choice:
    """Which instances of a source."""

    source: str
    split: str
    only: tuple[str, ...]
    sample: int | None
    shard: str | None
    priority: tuple[str, ...]


@dataclass(frozen=True)
class Asked:
    """What the command line said besides settings."""

    choice: Choice
    run: Path
    workers: int | None
    processes: int | None
    budget: str | None
    patience: str | None
    retry: bool
    config: Path | None
    json: bool
    quiet: bool
    debug: bool
    deliver: bool = False
    """Of a jobs file: make the branches and pull requests."""


def batch_command(asked: Asked, flags: dict[str, object]) -> None:
    """Raises Exit with the code of the run, and what `ending` turns into one."""
    if asked.choice.source.endswith(".toml"):
        from harness.commands.jobs import jobs_command

        jobs_command(Path(asked.choice.source), asked, flags, deliver=asked.deliver)
    settings = settings_of(asked, flags)
    instances = instances_of(asked.choice, settings.seed)
    run_jobs([job_of(instance, settings) for instance in instances], settings, asked)


def settings_of(asked: Asked, flags: dict[str, object]) -> Settings:
    """Raises SettingsError, ModelSpecError."""
    settings = load(config=asked.config, flags=flags)
    if settings.model is not None:
        from agent.model.spec import parse_spec

        parse_spec(settings.model)
    return settings


def run_jobs(jobs: Sequence[Job], settings: Settings, asked: Asked) -> None:
    """Raises Exit with the code of the run."""
    from harness.batch import batch
    from harness.batch_live import batch_watcher_for

    watcher = batch_watcher_for(sys.stderr, quiet=asked.quiet, plain=asked.debug)
    how = how_of(asked)
    summary = run_until_signal(partial(batch, jobs, settings, run=asked.run, how=how, watcher=watcher))
    if summary is None:
        path = asked.run / "summary.json"
        if not path.is_file():
            raise Exit(INTERRUPTED)
        summary = BatchSummary.model_validate_json(path.read_bytes())
    if asked.json:
        give(summary.model_dump_json(indent=1))
    elif not asked.quiet:
        give(told(summary, asked.run))
    raise Exit(code_of(summary))


def instances_of(choice: Choice, seed: int) -> tuple[Instance, ...]:
    """The chosen instances; those that `--priority` names first, else in the source's order. Raises DatasetError."""
    everything = read_instances(choice.source, split=choice.split)
    shard = shard_of(choice.shard) if choice.shard is not None else None
    taken = chosen(everything, only=choice.only, sample=choice.sample, shard=shard, seed=seed)
    if not choice.priority:
        return taken
    first = {instance.instance_id for instance in chosen(taken, only=choice.priority)}
    return (*(i for i in taken if i.instance_id in first), *(i for i in taken if i.instance_id not in first))


def shard_of(text: str) -> tuple[int, int]:
    """`2/8` -> (2, 8). Raises SettingsError."""
    part, slash, parts = text.partition("/")
    if not slash or not part.strip().isdecimal() or not parts.strip().isdecimal():
        raise SettingsError(f"--shard {text!r}: write part and number of parts, such as 2/8")
    return int(part), int(parts)


def job_of(instance: Instance, settings: Settings) -> Job:
    # Where the repository lies on this machine decides nothing; a moved one is the same instance.
    digest = hashlib.sha256(instance.model_dump_json(exclude={"repo_path"}).encode()).hexdigest()[:16]
    return Job(instance.instance_id, digest, InstanceTask(instance, settings))


@dataclass(frozen=True)
class InstanceTask:
    """Makes an instance's task; see `Job.make`."""

    instance: Instance
    settings: Settings

    def __call__(self, folder: Path) -> Task:
        return task_of(self.instance, self.settings, folder=folder)


def how_of(asked: Asked) -> BatchSettings:
    """Raises SettingsError."""
    try:
        budget = BudgetSettings.model_validate(read_budget(asked.budget)) if asked.budget is not None else None
    except ValueError as error:
        raise SettingsError(f"--run-budget: {_brief(error)}") from None
    try:
        patience = float(str(read_seconds(asked.patience))) if asked.patience is not None else None
    except ValueError as error:
        raise SettingsError(f"--patience: {error}") from None
    usual = BatchSettings()
    return BatchSettings(
        workers=asked.workers,
        processes=asked.processes,
        budget=budget or usual.budget,
        retry=asked.retry,
        patience=usual.patience if patience is None else patience,
    )


def _brief(error: ValueError) -> str:
    from pydantic import ValidationError

    return error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)


def code_of(summary: BatchSummary) -> int:
    """The exit code: what the user should look at first."""
    if summary.interrupted:
        return INTERRUPTED
    if summary.stopped is not None or summary.counts.get(Status.FAILED, 0):
        return FAILED
    if summary.budget_spent is not None or summary.counts.get("waiting", 0):
        return EXIT[Status.BUDGET_SPENT]
    if summary.counts.get(Status.SELECTED, 0) == 0:
        return EXIT[Status.NO_CANDIDATE]
    return EXIT[Status.SELECTED]


def told(summary: BatchSummary, run: Path) -> str:
    """What came out, in plain lines, and what to do with it."""
    counts = ", ".join(f"{number} {status.replace('_', ' ')}" for status, number in sorted(summary.counts.items()))
    spent = summary.usage
    money = f", ${spent.money:.2f}" if spent.money else ""
    lines = [
        f"{summary.tasks} tasks: {counts}; about {summary.resolved_estimate:.1f} resolved",
        f"{spent.prompt_tokens + spent.completion_tokens:,} tokens{money}; {duration(summary.wall_seconds)}",
        *([saving(summary.saved)] if summary.saved is not None else []),
        f"predictions  {run / 'predictions.jsonl'}",
        f"report       {run / 'report.html'}",
    ]
    if summary.stopped is not None:
        lines.append(f"stopped: {summary.stopped.message}")
    if summary.budget_spent is not None:
        lines.append(f"the run's budget was spent ({summary.budget_spent}); the same command with more of it goes on")
    elif summary.counts.get("waiting", 0):
        lines.append(f"to go on where it stopped, run the same command with --run {run}")
    elif summary.counts.get(Status.FAILED, 0):
        lines.append("the same command tries again what can pass by itself; --retry all that failed")
    return "\n".join("".join(c if c.isprintable() else "�" for c in line) for line in lines)
