"""Runs the whole product on tasks whose hidden tests are known, and says how often it chose a right patch.

What `examples.py` and `small_bugs.py` share. Each (task, seed) is one `harness.solve`; afterwards every candidate and
the winner are judged by the hidden tests in the sandbox. Rows go to a JSONL outside the repository, and what is there
already is not run again. One model server serves all runs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import anyio

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

from check import check

from agent.model.base import Model
from agent.model.open import open_model
from agent.task import Task
from harness import Result, Settings, local_task, solve
from harness.config import EnvironmentSettings, backend_settings
from harness.outcome import identity
from sandbox.backends import choose_backend
from sandbox.base import Patch, Sandbox


@dataclass(frozen=True)
class Item:
    """A task with known hidden tests: a git repository, the issue, and file name -> content of the tests."""

    name: str
    repository: Path
    issue: str
    tests: Mapping[str, bytes]


@dataclass(frozen=True)
class Row:
    """What one run came to."""

    name: str
    seed: int
    run: str
    """Digest of what decides the outcome: issue, settings, prompts. Another one is another run."""
    commit: str
    """Of bestpatch, for the record."""
    model: str
    candidates: int
    """Asked for; `correct` has one entry for each that came of it."""
    jobs: int
    """Runs at the same time on this machine, which lengthens the wall time of each."""
    status: str
    correct: tuple[bool, ...]
    classes: int
    selected: bool
    confidence: float | None
    wall: float
    sandbox_seconds: float
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    stage_seconds: Mapping[str, float]

    @property
    def random(self) -> float:
        """The chance that a candidate picked at random is right; none without candidates."""
        return sum(self.correct) / len(self.correct) if self.correct else 0.0

    @property
    def oracle(self) -> bool:
        return any(self.correct)


def arguments(description: str) -> argparse.ArgumentParser:
    """The options that both benchmarks have."""
    cache = Settings().paths.cache
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--seeds", default="0", help="such as 3, 0-4 or 0,2,7")
    parser.add_argument("--candidates", type=int, default=8)
    parser.add_argument("--model", help="model spec; what bestpatch would choose when left out")
    parser.add_argument("--jobs", type=int, default=2, help="runs at the same time")
    parser.add_argument("--image", help="an image that has what the tasks need, instead of the environments found")
    parser.add_argument("--folder", type=Path, default=cache / "benchmarks", help="rows and run directories")
    return parser


def seeds(text: str) -> list[int]:
    """`0-2,5` as [0, 1, 2, 5]."""
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def folder_of(name: str, options: argparse.Namespace) -> Path:
    """The folder of one benchmark, made."""
    folder: Path = options.folder / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


async def measure(
    folder: Path, items: Sequence[Item], options: argparse.Namespace, environment: EnvironmentSettings | None = None
) -> list[Row]:
    """All rows of these items and seeds, those of earlier calls included. Prints the table."""
    file = folder / "rows.jsonl"
    environment = EnvironmentSettings(image=options.image) if options.image else environment or EnvironmentSettings()
    settings = Settings(model=options.model, candidates=options.candidates, environment=environment)
    tasks = [
        (item, local_task(item.repository, item.issue, settings), settings.model_copy(update={"seed": seed}))
        for item in items
        for seed in seeds(options.seeds)
    ]
    wanted = {run_id(task, mine): (item, task, mine) for item, task, mine in tasks}
    known = {row.run for row in read_rows(file)}
    todo = {run: value for run, value in wanted.items() if run not in known}
    say(f"{len(wanted)} runs wanted, {len(wanted) - len(todo)} known, rows in {file}")
    if todo:
        async with open_model(options.model, cache=settings.paths.cache, log_dir=folder, say=say) as model:

            async def one(run: str, item: Item, task: Task, mine: Settings) -> None:
                row = await measured(run, item, task, mine, options.jobs, model, folder / "runs" / f"{item.name}-{run}")
                if row is not None:
                    with file.open("a", encoding="utf-8") as stream:
                        stream.write(json.dumps(asdict(row)) + "\n")

            await in_parallel(options.jobs, [partial(one, run, *value) for run, value in todo.items()])
    rows = [row for row in read_rows(file) if row.run in wanted]
    print(table(rows))
    return rows


def run_id(task: Task, settings: Settings) -> str:
    """Equal for runs that would come out alike."""
    return hashlib.sha256(json.dumps(identity(task, settings), sort_keys=True).encode()).hexdigest()[:10]


def commit() -> str:
    """The commit of bestpatch; with a + when there are changes on top of it."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--abbrev=10", "--dirty=+"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


async def measured(
    run: str, item: Item, task: Task, settings: Settings, jobs: int, model: Model, out: Path
) -> Row | None:
    """One run and its judgement; None when infrastructure failed, so that a later call tries again."""
    started = time.monotonic()
    result = await solve(task, settings, out=out, model=model)
    say(f"{item.name} seed {settings.seed}: {result.status}, {time.monotonic() - started:.0f} s")
    if result.status in ("failed", "interrupted"):
        say(f"  {result.error.message if result.error else ''}; see {out}")
        return None
    backend = choose_backend(settings.sandbox.backend, *backend_settings(settings), say=say)
    try:
        sandbox = await backend.open(task.environment, task.snapshot, run_id="benchmark")
        verdicts = await judge(sandbox, result, item.tests)
    finally:
        await backend.close()
    total = result.usage["total"]
    row = Row(
        name=item.name,
        seed=settings.seed,
        run=run,
        commit=commit(),
        model=result.manifest.model,
        candidates=settings.candidates,
        jobs=jobs,
        status=result.status,
        correct=tuple(verdicts[made.patch] for made in result.candidates),
        classes=len({made.class_id for made in result.candidates}),
        selected=bool(result.patch) and verdicts[result.patch],
        confidence=result.confidence,
        wall=result.wall_seconds,
        sandbox_seconds=result.sandbox_seconds,
        prompt_tokens=total.prompt_tokens,
        cached_tokens=total.cached_tokens,
        completion_tokens=total.completion_tokens,
        stage_seconds=result.stage_seconds,
    )
    say(
        f"  candidates right: {sum(row.correct)} of {len(row.correct)}; selected {'right' if row.selected else 'wrong'}"
    )
    return row


async def judge(sandbox: Sandbox, result: Result, tests: Mapping[str, bytes]) -> dict[str, bool]:
    """Patch -> whether the hidden tests pass, for each different patch of a result."""
    patches = dict.fromkeys([*(made.patch for made in result.candidates), *filter(None, [result.patch])])
    return {patch: (await check(sandbox, Patch(patch), tests)).passed for patch in patches}


async def in_parallel(limit: int, work: Iterable[Callable[[], Awaitable[None]]]) -> None:
    """Do all of the work, at most `limit` pieces at once."""
    limiter = anyio.CapacityLimiter(limit)

    async def limited(piece: Callable[[], Awaitable[None]]) -> None:
        async with limiter:
            await piece()

    async with anyio.create_task_group() as group:
        for piece in work:
            group.start_soon(limited, piece)


def read_rows(file: Path) -> list[Row]:
    """The rows of a file; a line that a killed run left half-written is skipped."""
    rows: list[Row] = []
    for line in file.read_text("utf-8").splitlines() if file.is_file() else []:
        try:
            raw = json.loads(line)
        except json.JSONDecodeError:
            continue
        rows.append(Row(**{**raw, "correct": tuple(raw["correct"])}))
    return rows


def table(rows: Sequence[Row]) -> str:
    """A Markdown table with a line for each task, and one for all of them."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.name].append(row)
    head = "| task | runs | solved | random | selected | oracle | gap recovered | median wall | tokens | cached |"
    lines = [head, "| --- |" + " ---: |" * 9]
    lines += [_line(name, found) for name, found in sorted(groups.items())]
    if len(groups) > 1:
        lines.append(_line("**all**", rows))
    return "\n".join(lines)


def _line(name: str, rows: Sequence[Row]) -> str:
    random, selected, oracle = (
        statistics.mean(values)
        for values in ([row.random for row in rows], [row.selected for row in rows], [row.oracle for row in rows])
    )
    gap = f"{(selected - random) / (oracle - random):.2f}" if oracle > random else "-"
    prompt, cached = sum(row.prompt_tokens for row in rows), sum(row.cached_tokens for row in rows)
    tokens = statistics.mean(row.prompt_tokens + row.completion_tokens for row in rows)
    return (
        f"| {name} | {len(rows)} | {sum(row.selected for row in rows)} | {random:.2f} | {selected:.2f} | {oracle:.2f} "
        f"| {gap} | {statistics.median(row.wall for row in rows):.0f} s | {tokens:,.0f} "
        f"| {cached / prompt if prompt else 0:.0%} |"
    )


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def start(main: Callable[[], Awaitable[object]]) -> None:
    """Run the benchmark; without the user's settings, which would change what is measured."""
    for name in [name for name in os.environ if name.startswith("BESTPATCH_") and name != "BESTPATCH_CACHE"]:
        del os.environ[name]
    anyio.run(main)
