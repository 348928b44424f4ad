"""`bestpatch evaluate`: grades predictions or all candidates of a run, or with `--gold` checks a set of instances."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from harness import swebench
from harness.commands.common import give, run_until_signal, say
from harness.commands.exit import FAILED, INTERRUPTED, NOT_AS_EXPECTED, Exit
from harness.config import Settings
from harness.errors import DatasetError, InstanceError, UsageError
from harness.evaluation import report
from harness.evaluation.evaluate import Grading, evaluate
from harness.evaluation.job import Job
from harness.evaluation.labels import FILE, Label, candidates_of, write_labels
from harness.evaluation.predictions import Prediction, read_predictions
from harness.evaluation.record import Evaluation, Outcome
from harness.evaluation.report import Graded, said
from harness.instances import Instance, chosen, each_instance
from harness.load import load
from harness.units import read_seconds
from sandbox.base import UNEDITED, Patch

GOLD, NO_PATCH = "gold", "unedited"


@dataclass(frozen=True)
class Asked:
    """What the command line said besides settings."""

    predictions: str | None
    instances: str
    run: Path
    gold: bool
    split: str
    only: Sequence[str]
    sample: int | None
    shard: str | None
    repeat: int
    timeout: str
    workers: int | None
    config: Path | None
    json: bool
    quiet: bool


def evaluate_command(asked: Asked, flags: dict[str, object]) -> None:
    """Always raises Exit: 0 graded (`--gold`: all as expected), 3 not as expected, 4 something was not graded."""
    if asked.gold == (asked.predictions is not None):
        raise UsageError("give either a file of predictions or --gold; a run's directory stands for all its candidates")
    swebench.require()
    settings = load(config=asked.config, flags=flags)
    of_run = asked.predictions is not None and Path(asked.predictions).is_dir()
    predictions = _predictions(asked.predictions)
    instances, wrong = _instances(asked, settings, predictions)
    jobs = _gold_jobs(instances) if asked.gold else _jobs(instances, predictions)
    seen: list[Evaluation] = []
    progress = _Progress(len(jobs), quiet=asked.quiet)

    def on_seen(evaluation: Evaluation, kept: bool) -> None:
        seen.append(evaluation)
        progress.seen(evaluation, kept)

    grading = Grading(asked.repeat, _seconds(asked.timeout), asked.workers)
    done = run_until_signal(
        partial(
            evaluate, jobs, settings, grading, asked.run, seen=on_seen, say=_say_what if not asked.quiet else _silent
        )
    )
    evaluations = [*(done if done is not None else seen), *wrong]
    patched = [e for e in evaluations if e.system != NO_PATCH]
    names = [*(i.instance_id for i in instances), *(e.instance_id for e in wrong)]
    graded = Graded(names, patched, [e for e in evaluations if e.system == NO_PATCH])
    if of_run:
        labels = write_labels(patched, asked.run)
        report.write_details(graded, asked.run)
        give(_told_labels(labels, graded, asked))
        raise Exit(_code(graded, interrupted=done is None))
    report.write_reports(graded, asked.run)
    if asked.json:
        give(json.dumps(report.official(graded), indent=1))
    elif not asked.quiet:
        give(_told(graded, asked))
    raise Exit(_code(graded, interrupted=done is None))


def _predictions(source: str | None) -> Sequence[Prediction]:
    """One prediction for an instance of a file; all candidates of a run's directory."""
    if source is None:
        return ()
    return candidates_of(Path(source)) if Path(source).is_dir() else read_predictions(source)


def _told_labels(labels: Sequence[Label], graded: Graded, asked: Asked) -> str:
    """What became of a run's candidates."""
    right = [label for label in labels if label.resolved]
    numbers = {
        "candidates": len(graded.evaluations),
        "labelled": len(labels),
        "resolved": len(right),
        "instances with a right one": len({label.instance_id for label in right}),
    }
    if asked.json:
        return json.dumps(numbers, indent=1)
    lines = [f"{name:>27}  {count}" for name, count in numbers.items()]
    lines += [f"could not be graded: {e.instance_id}: {said(e)}" for e in graded.unknown]
    lines.append(f"labels  {asked.run / FILE}, for bestpatch study {asked.predictions} --labels {asked.run / FILE}")
    return "\n".join(lines)


def _silent(_: str) -> None:
    pass


def _say_what(text: str) -> None:
    """What is made for which instance is worth a line; each step of it is not, with hundreds of instances."""
    if not text.startswith("Step "):
        say(text)


def _code(graded: Graded, *, interrupted: bool) -> int:
    if interrupted:
        return INTERRUPTED
    if any(e.outcome is Outcome.INFRASTRUCTURE for e in graded.unknown):
        return FAILED
    if graded.unedited:
        return NOT_AS_EXPECTED if graded.unexpected else 0
    return FAILED if graded.unknown else 0


def _instances(
    asked: Asked, settings: Settings, predictions: Sequence[Prediction]
) -> tuple[Sequence[Instance], list[Evaluation]]:
    """The chosen instances, and an evaluation for each row that cannot be one."""
    rows = list(each_instance(asked.instances, split=asked.split))
    instances = [row for row in rows if isinstance(row, Instance)]
    wrong = [
        Evaluation(instance_id=row.instance_id, outcome=Outcome.INSTANCE_ERROR, reason=str(row))
        for row in rows
        if isinstance(row, InstanceError)
    ]
    known = {instance.instance_id for instance in instances} | {row.instance_id for row in wrong}
    strangers = [p.instance_id for p in predictions if p.instance_id not in known]
    if strangers:
        raise DatasetError(
            f"{asked.predictions}: {len(strangers)} predictions are for instances that {asked.instances} "
            f"does not have, such as {strangers[0]}"
        )
    shard = _shard(asked.shard)
    picked = chosen(instances, only=asked.only, sample=asked.sample, shard=shard, seed=settings.seed)
    return picked, [] if asked.only or asked.sample or shard else wrong


def _seconds(text: str) -> float:
    try:
        seconds = read_seconds(text)
    except ValueError as error:
        raise UsageError(f"--timeout: {error}") from None
    if not isinstance(seconds, float | int) or seconds <= 0:
        raise UsageError(f"--timeout {text}: write a time above zero, such as 30m or 90s")
    return float(seconds)


def _shard(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    part, _, parts = text.partition("/")
    if not (part.isdigit() and parts.isdigit()):
        raise UsageError(f"--shard {text}: write the part and the number of parts, such as 1/4")
    return int(part), int(parts)


def _jobs(instances: Sequence[Instance], predictions: Sequence[Prediction]) -> list[Job]:
    by_id: dict[str, list[Prediction]] = {}
    for prediction in predictions:
        by_id.setdefault(prediction.instance_id, []).append(prediction)
    return [
        Job(instance, Patch(found.model_patch), found.model_name_or_path)
        for instance in instances
        for found in by_id.get(instance.instance_id, ())
    ]


def _gold_jobs(instances: Sequence[Instance]) -> list[Job]:
    return [
        job
        for instance in instances
        for job in (Job(instance, Patch(instance.patch), GOLD), Job(instance, UNEDITED, NO_PATCH, unedited=True))
    ]


class _Progress:
    """A line for each evaluation on stderr, as it comes."""

    def __init__(self, total: int, *, quiet: bool) -> None:
        self._total, self._quiet, self._done = total, quiet, 0

    def seen(self, evaluation: Evaluation, kept: bool) -> None:
        self._done += 1
        if not self._quiet:
            which = " (no patch)" if evaluation.system == NO_PATCH else ""
            how = "kept" if kept else f"{evaluation.test_seconds:.1f} s"
            say(f"[{self._done}/{self._total}] {evaluation.instance_id}{which}: {said(evaluation)} ({how})")


def _untold(evaluation: Evaluation, graded: Graded) -> bool:
    """`--gold` has said already that an instance is wrong."""
    return not graded.unedited or evaluation.outcome is Outcome.INFRASTRUCTURE


def _told(graded: Graded, asked: Asked) -> str:
    """The table on a terminal, lines elsewhere, and where the reports are."""
    numbers = report.official(graded)
    rows = [
        (name.replace("_", " ").removesuffix(" instances"), numbers[name])
        for name in numbers
        if name.endswith("_instances")
    ]
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table

        table = Table(title="evaluation", show_header=False)
        for name, count in rows:
            table.add_row(name, str(count))
        Console().print(table)
        lines: list[str] = []
    else:
        lines = [f"{name:>12}  {count}" for name, count in rows]
    if graded.unedited:
        unexpected = graded.unexpected
        lines += [f"not as expected: {sentence}" for sentence in unexpected]
        if not unexpected and not graded.unknown:
            lines.append(f"all {len(graded.instances)} as expected: each gold patch passes, no unedited tree does")
    told = {f"could not be graded: {e.instance_id}: {said(e)}": None for e in graded.unknown if _untold(e, graded)}
    lines += list(told)
    if any(e.outcome is Outcome.INFRASTRUCTURE for e in graded.unknown):
        lines.append("the same command again tries once more what infrastructure kept from being graded")
    lines.append(f"reports  {asked.run / 'summary.md'}, report.json, details.json, junit.xml")
    return "\n".join(lines)
