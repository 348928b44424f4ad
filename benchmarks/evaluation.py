"""Grading: how long it takes beside the tests themselves, and whether it says what others said.

    python benchmarks/evaluation.py gold INSTANCES.jsonl --run DIR
    python benchmarks/evaluation.py labels INSTANCES.jsonl CANDIDATES.jsonl --run DIR

`gold` runs what `bestpatch evaluate --gold` does, several times, each in a directory of its own: the first time images
are built, later they are there. `labels` grades candidate patches that carry a `resolved`, and lists where we differ.
Instances name their trees by `repo_path`. Needs an engine.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from figures import table

from harness.config import Settings
from harness.evaluation.evaluate import Grading, evaluate
from harness.evaluation.job import Job
from harness.evaluation.predictions import Prediction
from harness.evaluation.record import Evaluation, Outcome
from harness.evaluation.report import Graded, said
from harness.instances import Instance, chosen, read_instances
from harness.rows import read_rows
from sandbox.base import UNEDITED, Patch


@dataclass(frozen=True)
class Round:
    """One grading of everything."""

    evaluations: Sequence[Evaluation]
    wall: float
    machine_cpu: float
    """CPU seconds of the whole machine meanwhile, others' included."""

    @property
    def tests(self) -> float:
        return sum(evaluation.test_seconds for evaluation in self.evaluations)

    def ratio(self, cores: int) -> float:
        """Wall time beside that of the tests alone, spread evenly over the cores."""
        return self.wall / (self.tests / cores) if self.tests else float("nan")


def machine_cpu() -> float:
    """User and system seconds of all processors since the machine started."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    user, nice, system, _idle, _wait, irq, soft, *_ = map(int, fields)
    return (user + nice + system + irq + soft) / os.sysconf("SC_CLK_TCK")


def graded(jobs: Sequence[Job], run: Path, settings: Settings, grading: Grading) -> Round:
    done: list[str] = []

    def seen(evaluation: Evaluation, kept: bool) -> None:
        done.append(evaluation.instance_id)
        how = "kept" if kept else f"{evaluation.test_seconds:.1f} s"
        print(f"[{len(done)}/{len(jobs)}] {evaluation.instance_id} {evaluation.system}: {said(evaluation)} ({how})")

    began, cpu = time.monotonic(), machine_cpu()
    found = anyio.run(partial(evaluate, jobs, settings, grading, run, seen=seen, say=print))
    return Round(found, time.monotonic() - began, machine_cpu() - cpu)


def gold(instances: Sequence[Instance], run: Path, rounds: int, settings: Settings, grading: Grading) -> bool:
    """Whether every round was as expected. Prints a table of the rounds."""
    jobs = [
        job
        for instance in instances
        for job in (Job(instance, Patch(instance.patch), "gold"), Job(instance, UNEDITED, "unedited", unedited=True))
    ]
    rows: list[list[str]] = []
    fine = True
    cores = os.cpu_count() or 1
    for number in range(1, rounds + 1):
        shutil.rmtree(run / str(number), ignore_errors=True)
        found = graded(jobs, run / str(number), settings, grading)
        parts = [[e for e in found.evaluations if e.system == system] for system in ("gold", "unedited")]
        result = Graded([instance.instance_id for instance in instances], parts[0], parts[1])
        wrong = [*result.unexpected, *(f"{e.instance_id}: {said(e)}" for e in result.unknown)]
        print("\n".join(f"not as expected: {sentence}" for sentence in wrong))
        fine &= not wrong
        rows.append(
            [
                *(str(number), f"{len(instances) - len({w.split(':')[0] for w in wrong})} of {len(instances)}"),
                *(f"{found.wall:.0f}", f"{found.machine_cpu:.0f}", f"{found.tests:.0f}", f"{found.ratio(cores):.2f}"),
            ]
        )
    header = ["round", "as expected", "wall s", "CPU s of the machine", "tests s", f"wall / (tests / {cores} cores)"]
    print(table(header, rows))
    return fine


def labels(
    instances: Sequence[Instance], candidates: Sequence[tuple[Prediction, bool]], run: Path, settings: Settings
) -> bool:
    """Whether all labels agree. Prints each disagreement and the counts."""
    by_id = {instance.instance_id: instance for instance in instances}
    given = [(found, label) for found, label in candidates if found.instance_id in by_id]
    jobs = [Job(by_id[p.instance_id], Patch(p.model_patch), p.model_name_or_path) for p, _ in given]
    found = graded(jobs, run, settings, Grading()).evaluations
    counts = {(label, ours): 0 for label in (True, False) for ours in (True, False)}
    unknown = 0
    for (_, label), evaluation in zip(given, found, strict=True):
        if evaluation.outcome in (Outcome.INFRASTRUCTURE, Outcome.INSTANCE_ERROR):
            unknown += 1
            continue
        ours = evaluation.outcome is Outcome.RESOLVED
        counts[label, ours] += 1
        if ours != label:
            what = "resolved" if label else "unresolved"
            notes = "; ".join(evaluation.notes)
            print(
                f"differs: {evaluation.instance_id} {evaluation.system}: labelled {what}; {said(evaluation)}; {notes}"
            )
    header = ["label", "ours: resolved", "ours: not"]
    print(
        table(header, [[str(label), *(str(counts[label, ours]) for ours in (True, False))] for label in (True, False)])
    )
    agree, total = counts[True, True] + counts[False, False], sum(counts.values())
    print(f"{agree} of {total} labels agree; {unknown} patches could not be graded")
    return agree == total and not unknown


def candidates_of(path: str) -> list[tuple[Prediction, bool]]:
    """Candidates with their labels; `system` names where one came from, with its number in the file."""
    found: list[tuple[Prediction, bool]] = []
    for number, row in enumerate(read_rows(path)):
        values: dict[str, Any] = dict(row.values)
        values.setdefault("model_name_or_path", f"{values.get('system', 'candidate')}#{number}")
        found.append((Prediction.model_validate(values), bool(values["resolved"])))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["gold", "labels"])
    parser.add_argument("instances")
    parser.add_argument("candidates", nargs="?")
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--workers", type=int)
    given = parser.parse_args()
    instances = chosen(read_instances(given.instances), only=given.only)
    settings = Settings()
    if given.what == "gold":
        return 0 if gold(instances, given.run, given.rounds, settings, Grading(workers=given.workers)) else 1
    if given.candidates is None:
        parser.error("labels needs a file of candidates")
    print(json.dumps({"instances": len(instances)}))
    return 0 if labels(instances, candidates_of(given.candidates), given.run, settings) else 1


if __name__ == "__main__":
    raise SystemExit(main())
