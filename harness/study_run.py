"""A finished run as a labelled pool: its recorded verdicts, regressions and costs, with labels from elsewhere."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from agent.model.base import Stage
from agent.trajectory import CandidateId, ScriptId
from harness.errors import DatasetError, JournalError
from harness.evaluation.labels import Labels, results_of
from harness.journal import read_turns
from harness.result import Result, TurnRecord
from sandbox.script import Verdict
from selection.base import ClassId
from selection.pool import PoolCandidate, PoolProbe, PoolScript, PoolTask


def tasks_of_run(folder: Path, labels: Labels) -> tuple[list[PoolTask], list[str]]:
    """The tasks of a run whose candidates all have a label, and a note on the others."""
    tasks: list[PoolTask] = []
    unlabelled: list[str] = []
    for name, place, result in results_of(folder):
        missing = [c.id for c in result.candidates if c.patch.strip() and (name, c.id) not in labels]
        if missing:
            unlabelled.append(f"{name} ({missing[0]})")
        else:
            tasks.append(_task(name, place, result, labels))
    if not tasks:
        raise DatasetError(
            f"{folder}: no task has labels for all its candidates, such as {unlabelled[0]}; grade them with\n"
            f"  bestpatch evaluate {folder} --instances FILE --run DIR\nand give --labels DIR/labels.jsonl"
        )
    note = f"{folder}: {len(unlabelled)} tasks lack labels and are left out, such as {unlabelled[:1]}"
    return tasks, [note] if unlabelled else []


def _task(name: str, folder: Path, result: Result, labels: Labels) -> PoolTask:
    verdicts: dict[ScriptId, dict[ClassId, Verdict]] = {}
    before: dict[str, Verdict] = {}
    for cell in result.matrix:
        if cell.column == "unedited":
            before[cell.script] = Verdict(cell.verdict)
        else:
            verdicts.setdefault(ScriptId(cell.script), {})[ClassId(cell.column)] = Verdict(cell.verdict)
    tokens = _tokens(folder)
    sources = {given.id: given.source for given in result.given}
    refused = refused_classes(result)
    candidates = [
        PoolCandidate(
            id=CandidateId(made.id),
            source=sources.get(made.id, result.manifest.model),
            trajectory=made.trajectory,
            script=ScriptId(made.script) if made.script else None,
            class_id=ClassId(made.class_id) if made.class_id and made.class_id not in refused else None,
            patch=made.patch,
            passes_own_script=made.passes_own_script,
            resolved=bool(made.patch.strip()) and labels[name, made.id].resolved,
            completion_tokens=tokens.get((made.trajectory, Stage.EDITING)),
        )
        for made in result.candidates
    ]
    if not result.given:
        candidates += _without_patch(result, tokens)
    counted = set[str]()
    scripts: list[PoolScript] = []
    for script in result.scripts:
        # A trajectory's tokens are its first script's: one that was rewritten while editing costs no turn of its own.
        # The examples cost none.
        first = script.trajectory not in counted
        counted.add(script.trajectory)
        spent = tokens.get((script.trajectory, Stage.TEST_WRITING), 0) if first else 0
        scripts.append(
            PoolScript(
                id=ScriptId(script.id),
                trajectory=script.trajectory,
                unedited=before.get(script.id),
                # Of those that hold already only guards have a row.
                guard=before.get(script.id) is Verdict.PASSED and ScriptId(script.id) in verdicts,
                digest=hashlib.sha256(script.source.encode("utf-8", "surrogatepass")).hexdigest()[:16],
                completion_tokens=spent if tokens else None,
            )
        )
    groups = [label.group for (task, _), label in labels.items() if task == name and label.group]
    return PoolTask(
        id=name,
        group=groups[0] if groups else "",
        candidates=tuple(candidates),
        scripts=tuple(scripts),
        cells=verdicts,
        passing=result.regression.passing if result.regression else 0,
        probes=tuple(
            PoolProbe(id=p.id, origin=p.origin, outputs={ClassId(c): text for c, text in p.outputs.items()})
            for p in result.probes
        ),
        broken={ClassId(made.class_id): len(made.broken_tests) for made in result.candidates if made.class_id},
    )


def refused_classes(result: Result) -> frozenset[str]:
    """The classes that are none: vetoed for another reason than tests that they break, so no method may choose them."""
    breaking = {made.class_id for made in result.candidates if made.broken_tests}
    return frozenset(result.vetoed) - breaking


def _without_patch(result: Result, tokens: Mapping[tuple[str, str], int]) -> list[PoolCandidate]:
    """The trajectories that left no candidate: they were paid for, and random choice would meet them."""
    made = {candidate.trajectory for candidate in result.candidates}
    wanted = result.manifest.settings.get("candidates")
    names = [f"trajectory-{number}" for number in range(wanted if isinstance(wanted, int) else 0)]
    written = {script.trajectory: script.id for script in result.scripts}
    return [
        PoolCandidate(
            id=CandidateId(name),
            source=result.manifest.model,
            trajectory=name,
            script=ScriptId(written[name]) if name in written else None,
            class_id=None,
            resolved=False,
            completion_tokens=tokens.get((name, Stage.EDITING), 0) if tokens else None,
        )
        for name in names
        if name not in made
    ]


def _tokens(folder: Path) -> dict[tuple[str, str], int]:
    """(Trajectory, stage) -> completion tokens, by the run's journal; {} without one."""
    try:
        turns: Sequence[TurnRecord] = read_turns(folder)
    except JournalError:
        return {}
    spent: Counter[tuple[str, str]] = Counter()
    for turn in turns:
        spent[turn.trajectory, turn.stage] += turn.completion_tokens
    return dict(spent)
