"""Joins finished runs of the same small bugs into one pool, so that `bestpatch study --allocate` splits over them.

    python benchmarks/joined_pool.py pool.jsonl big=RUN_A small=RUN_B --labels LABELS_A.jsonl --labels LABELS_B.jsonl \\
        --instances small_bugs.jsonl --split tuning --candidates 16
    bestpatch study pool.jsonl --candidates 16 --allocate --run bestpatch-runs/study

Each run has the name of its source before it, and its labels in the same order. Scripts of one run are executed on the
classes of the others; what the runs recorded is not executed again. A line of the instances has `instance_id`, `split`
and `files` (path -> text: the repository). One sandbox does for all: its repository has none of their files, and a
patched tree is a patch that adds them. A pool that is there already goes on where it ended.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
from figures import table
from joining import Part, joined
from killed import added
from probes_of_bugs import snapshot

from agent.edit.patched import apply_in_memory
from agent.trajectory import ScriptId
from harness.errors import DatasetError
from harness.evaluation.labels import read_labels, results_of
from harness.study_run import tasks_of_run
from sandbox.backends import choose_backend
from sandbox.base import Limits, Patch, Recipe, RepoPath, Sandbox, Tree
from sandbox.script import Verdict
from sandbox.settings import BubblewrapSettings, DockerSettings
from selection.execute import execute

LIMITS = Limits(seconds=10, cpu_seconds=2)
"""As a run's own for a repository that is imported at once (`harness.importable`)."""

BARE: Tree = {RepoPath("README"): b"Files come with the patches.\n"}
"""A repository cannot be empty."""


def parts_of(name: str, run: Path, labels: str, trajectories: int) -> dict[str, Part]:
    """Task -> what the run's first trajectories made of it."""
    tasks, notes = tasks_of_run(run, read_labels([labels]))
    for note in notes:
        print(note, file=sys.stderr)
    sources = {task: {ScriptId(s.id): s.source for s in result.scripts} for task, _, result in results_of(run)}
    return {task.id: Part(name, task, sources[task.id]).first(trajectories) for task in tasks}


async def join(row: Mapping[str, Any], parts: list[Part], sandbox: Sandbox, parallel: int) -> tuple[str, int]:
    """The task's line, and how many cells were executed."""
    tree = {RepoPath(path): text.encode() for path, text in row["files"].items()}
    count = 0

    async def run(source: str, patch: Patch) -> Verdict:
        nonlocal count
        count += 1
        files = apply_in_memory(patch, tree)
        if files is None:
            raise ValueError(f"{row['instance_id']}: a patch does not apply in memory")
        whole: dict[str, bytes | None] = {**tree, **{file.path: file.content for file in files}}
        patched = "".join(added(path, text.decode()) for path, text in sorted(whole.items()) if text)
        return (await execute(sandbox, source, Patch(patched), LIMITS)).verdict

    task = await joined(parts, tree, run, parallel)
    return task.model_copy(update={"group": row["split"]}).model_dump_json(exclude_defaults=True), count


def known(pool: Path) -> set[str]:
    """The tasks that the pool has already."""
    lines = pool.read_text("utf-8").splitlines() if pool.exists() else []
    return {json.loads(line)["id"] for line in lines}


async def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("pool", type=Path)
    parser.add_argument("runs", nargs="+", metavar="NAME=RUN")
    parser.add_argument("--labels", action="append", required=True, help="one for each run")
    parser.add_argument("--instances", type=Path, required=True)
    parser.add_argument("--split", default="tuning")
    parser.add_argument("--candidates", type=int, default=1000, help="only so many trajectories of each run")
    parser.add_argument("--parallel", type=int, default=2)
    parser.add_argument("--backend", default="auto", choices=("auto", "docker", "bubblewrap"))
    options = parser.parse_args()
    rows = [json.loads(line) for line in options.instances.read_text("utf-8").splitlines() if line.strip()]
    named = [one.partition("=") for one in options.runs]
    pairs = zip(named, options.labels, strict=True)
    runs = [parts_of(name, Path(run), labels, options.candidates) for (name, _, run), labels in pairs]
    there = known(options.pool)
    rows = [row for row in rows if row["split"] == options.split and all(row["instance_id"] in run for run in runs)]
    executed, began = 0, time.monotonic()
    with tempfile.TemporaryDirectory() as folder, options.pool.open("a", encoding="utf-8") as pool:
        backend = choose_backend(options.backend, DockerSettings(), BubblewrapSettings(), say=print)
        try:
            sandbox = await backend.open(Recipe(), snapshot(BARE, Path(folder)), run_id="benchmark-joined")
            for row in rows:
                if row["instance_id"] in there:
                    continue
                line, count = await join(row, [run[row["instance_id"]] for run in runs], sandbox, options.parallel)
                executed += count
                pool.write(line + "\n")
                pool.flush()
        finally:
            await backend.close()
    print(
        table(
            ["tasks", "cells executed", "wall s"], [[str(len(rows)), str(executed), f"{time.monotonic() - began:.0f}"]]
        )
    )


if __name__ == "__main__":
    try:
        anyio.run(main)
    except (OSError, ValueError, KeyError, DatasetError) as problem:
        sys.exit(f"joined_pool: {type(problem).__name__}: {problem}")
