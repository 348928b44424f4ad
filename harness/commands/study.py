"""`bestpatch study`: every selection method on a labelled pool, as Markdown, JSON and a page."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.commands.common import give, say
from harness.errors import JournalError, UsageError
from harness.evaluation.store import write
from harness.release import release
from harness.report.study import render_study
from harness.report.study_text import markdown
from harness.study_pool import Pool, read_pool
from selection.methods import METHODS
from selection.study import Size, StudySettings, study


@dataclass(frozen=True)
class Asked:
    """What the command line said."""

    pools: tuple[str, ...]
    run: Path
    labels: tuple[str, ...]
    judgements: tuple[str, ...]
    comparisons: tuple[str, ...]
    candidates: tuple[int, ...]
    scripts: tuple[int, ...]
    group: str | None
    draws: int
    seed: int
    methods: tuple[str, ...]
    allocate: bool
    split: tuple[str, ...]
    json: bool
    quiet: bool


def study_command(asked: Asked) -> None:
    """Raises UsageError, DatasetError, JournalError."""
    unknown = [name for name in asked.methods if name not in METHODS]
    if unknown:
        raise UsageError(f"--methods {unknown[0]}: there is no such method; there are {', '.join(METHODS)}")
    pool = read_pool(asked.pools, asked.labels, asked.group, asked.judgements, asked.comparisons)
    split = _split(asked.split, pool)
    settings = StudySettings(
        sizes=_sizes(asked, pool),
        draws=asked.draws,
        seed=asked.seed,
        methods=asked.methods,
        allocate=asked.allocate,
        split=split,
        workers=len(os.sched_getaffinity(0)),
    )
    if asked.allocate and len({c.source for task in pool.tasks for c in task.candidates}) < 2:
        raise UsageError("--allocate: all candidates are of one source; give a pool with several")
    found = study(
        pool.tasks,
        settings,
        group=asked.group or "",
        files=[Path(source).name for source in asked.pools],
        version=release(),
        notes=pool.notes,
        say=(lambda text: None) if asked.quiet else say,
    )
    text = markdown(found)
    _write(
        asked.run, {"study.json": found.model_dump_json(indent=1), "study.md": text, "study.html": render_study(found)}
    )
    if asked.json:
        give(found.model_dump_json(indent=1))
    elif not asked.quiet:
        give(text)
        say(f"written  {asked.run / 'study.html'}, study.md, study.json")


def _split(asked: Sequence[str], pool: Pool) -> dict[str, int]:
    """Source -> candidates, as the command line said."""
    sources = sorted({c.source for task in pool.tasks for c in task.candidates})
    split: dict[str, int] = {}
    for one in asked:
        source, _, number = one.rpartition("=")
        if source not in sources or not number.isdecimal():
            raise UsageError(f"--split {one}: give SOURCE=N; the sources are {', '.join(sources)}")
        split[source] = int(number)
    if asked and not sum(split.values()):
        raise UsageError(f"--split {asked[-1]}: no candidate is left to choose from")
    return split


def _sizes(asked: Asked, pool: Pool) -> tuple[Size, ...]:
    largest = max(len(task.candidates) for task in pool.tasks)
    if asked.scripts and len(asked.scripts) != max(1, len(asked.candidates)):
        raise UsageError("give --scripts once for each --candidates, in the same order, or leave it out")
    if too_many := [n for n in asked.candidates if n > largest]:
        raise UsageError(
            f"--candidates {too_many[0]}: no task of the pool has more than {largest}; ask for fewer, or sample more"
        )
    candidates = asked.candidates or (largest,)
    return tuple(Size(n, m) for n, m in zip(candidates, asked.scripts or candidates, strict=True))


def _write(run: Path, files: dict[str, str]) -> None:
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise JournalError(f"{run}: cannot be made: {error.strerror}; name another with --run") from error
    for name, text in files.items():
        write(run / name, text.encode())
