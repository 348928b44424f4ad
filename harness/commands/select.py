"""`bestpatch select`: chooses among candidates of any origin, for many instances."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from agent.given import Given
from harness.commands.batch import Asked, instances_of, job_of, run_jobs, settings_of
from harness.commands.common import say
from harness.errors import DatasetError
from harness.evaluation.labels import results_of
from harness.evaluation.predictions import Prediction
from harness.rows import read_rows


def select_command(asked: Asked, candidates: Sequence[str], flags: dict[str, object]) -> None:
    """Raises Exit with the code of the run, and what `ending` turns into one."""
    settings = settings_of(asked, flags)
    given = read_candidates(candidates)
    instances = instances_of(asked.choice, settings.seed)
    mine = [instance for instance in instances if instance.instance_id in given]
    if not mine:
        raise DatasetError(f"{', '.join(candidates)}: holds no candidate for any of the {len(instances)} instances")
    if not asked.quiet and len(mine) < len(instances):
        say(f"note: {len(instances) - len(mine)} instances have no candidate, and are left out")
    jobs = [
        replace(job, given=given[job.id], digest=f"{job.digest} {digest_of(given[job.id])}")
        for job in (job_of(instance, settings) for instance in mine)
    ]
    run_jobs(jobs, settings, asked)


def digest_of(given: Sequence[Given]) -> str:
    return hashlib.sha256(repr(given).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def read_candidates(sources: Sequence[str]) -> dict[str, tuple[Given, ...]]:
    """Instance id -> its candidates, in the order of the sources and their lines.

    A source is a file of predictions (any number for an instance), or the directory of a batch, all of whose candidates
    are taken. Raises DatasetError.
    """
    found: dict[str, list[Given]] = {}
    for source in sources:
        lines = _of_run(Path(source)) if Path(source).is_dir() else _of_file(source)
        for name, given in lines:
            found.setdefault(name, []).append(given)
    return {name: tuple(given) for name, given in found.items()}


def _of_file(source: str) -> list[tuple[str, Given]]:
    found: list[tuple[str, Given]] = []
    for row in read_rows(source, keyed=True):
        line = row.read_as(Prediction)
        found.append((line.instance_id, Given(line.model_name_or_path or Path(source).stem, line.model_patch)))
    if not found:
        raise DatasetError(f"{source}: holds no candidates")
    return found


def _of_run(folder: Path) -> list[tuple[str, Given]]:
    return [
        (name, Given(f"{folder.name}/{made.id}", made.patch))
        for name, _, result in results_of(folder)
        for made in result.candidates
    ]
