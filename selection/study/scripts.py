"""Test scripts against the labels: how many are checked, accept what is right, reject what is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agent.trajectory import ISSUE
from sandbox.script import Verdict
from selection.draws import Drawer
from selection.pool import PoolScript, PoolTask
from selection.study.record import ScriptsRecord

UNKNOWN, TRAJECTORY = "unknown", "trajectory"


@dataclass(frozen=True)
class _Judged:
    """One script: whether it was checked, and shares of candidates. None: there is none."""

    checked: bool
    solvable: bool
    """The task has a right candidate."""
    right: tuple[int, int]
    """Right candidates that pass, of how many."""
    wrong: tuple[int, int]
    own_wrong: tuple[int, int]


def scripts(drawers: Sequence[Drawer]) -> tuple[ScriptsRecord, ...]:
    """For each kind of author that wrote any."""
    by_author: dict[str, list[_Judged]] = {}
    for drawer in drawers:
        for script in drawer.task.scripts:
            kind = ISSUE if script.trajectory == ISSUE else TRAJECTORY if script.trajectory else UNKNOWN
            by_author.setdefault(kind, []).append(_judged(drawer.task, script))
    return tuple(_record(author, of) for author, of in sorted(by_author.items()))


def _judged(task: PoolTask, script: PoolScript) -> _Judged:
    has_row = script.id in task.cells
    checked = script.unedited is Verdict.FAILED or (script.unedited is Verdict.TIMED_OUT and has_row)
    row = task.cells.get(script.id, {}) if checked else {}
    counts = {"right": [0, 0], "wrong": [0, 0], "own": [0, 0]}
    for one in task.candidates if row else ():
        if one.class_id is None:
            continue
        passed = row[one.class_id] is Verdict.PASSED
        kinds = ["right" if one.resolved else "wrong"]
        if not one.resolved and (one.script == script.id or (one.trajectory and one.trajectory == script.trajectory)):
            kinds.append("own")
        for kind in kinds:
            counts[kind][0] += passed
            counts[kind][1] += 1
    right, wrong, own = ((passed, total) for passed, total in counts.values())
    return _Judged(checked, any(one.resolved for one in task.candidates), right, wrong, own)


def _record(author: str, judged: Sequence[_Judged]) -> ScriptsRecord:
    solvable = [one for one in judged if one.solvable]
    good = sum(one.checked and 2 * one.right[0] > one.right[1] for one in solvable)
    rejected = _share(one.wrong for one in judged)
    return ScriptsRecord(
        author=author,
        written=len(judged),
        checked=sum(one.checked for one in judged) / len(judged) if judged else None,
        good=good / len(solvable) if solvable else None,
        accepts_right=_share(one.right for one in judged),
        rejects_wrong=None if rejected is None else 1 - rejected,
        own_wrong_accepted=_share(one.own_wrong for one in judged),
    )


def _share(counts: Iterable[tuple[int, int]]) -> float | None:
    """Of all pairs; each script weighs as many as there are candidates to judge."""
    pairs = list(counts)
    total = sum(of for _, of in pairs)
    return sum(passed for passed, _ in pairs) / total if total else None
