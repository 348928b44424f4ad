"""Comparison trajectories over the shortlists of a study's draws, so that `bestpatch study` can play methods with them.

    python benchmarks/comparisons.py RUN --labels labels.jsonl --instances instances.jsonl --model MODEL \\
        --url http://127.0.0.1:8000 --candidates 8 --candidates 32 --draws 10 --out comparisons.jsonl
    bestpatch study RUN --labels labels.jsonl --comparisons comparisons.jsonl --candidates 8 --candidates 32 --draws 10

RUN is a finished batch of these instances. Each shortlist that a method with a comparison would put to it in these
draws is compared once, really: a model writes scripts, they run on its candidates. What is in `--out` already is not
compared again; where the model fails, the shortlist is left out.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio

# The first import of a sibling takes this folder off the path and puts the examples' folder on it.
from figures import table  # isort: skip
from solving import say  # isort: skip

from agent.context.gather import Context, gather
from agent.errors import ModelError
from agent.model.base import Model, Stage
from agent.model.open import open_model
from agent.parallel import each
from agent.task import Task
from agent.trajectory import ScriptId, Turn
from harness import Result, Settings
from harness.config import backend_settings
from harness.errors import HarnessError, UsageError
from harness.evaluation.labels import read_labels, results_of
from harness.importable import try_import
from harness.instances import Instance, read_instances, task_of
from harness.rows import read_rows
from harness.study_run import tasks_of_run
from sandbox.backends import choose_backend
from sandbox.base import Backend, Limits, Patch, Sandbox
from sandbox.errors import SandboxError
from selection.base import ClassId, Comparison, PatchClass, Probe
from selection.comparison import MOST_PASSES, compare, majority
from selection.draws import Drawer
from selection.methods import METHODS
from selection.pool import PoolComparison, PoolPass, PoolTask, TaskComparisons

Shortlist = tuple[frozenset[ClassId], bool]
"""Classes, and whether a single pass is asked for."""


class Spent:
    """Implements `agent.trajectory.Recorder`: keeps the completion tokens of each pass."""

    def __init__(self) -> None:
        self.tokens: Counter[str] = Counter()

    def turn(self, turn: Turn) -> None:
        if turn.stage is Stage.COMPARISON:
            self.tokens[turn.trajectory] += turn.completion.usage.completion_tokens

    def stage(self, stage: str, done: int, total: int) -> None: ...

    def note(self, kind: str, detail: dict[str, object]) -> None: ...


@dataclass
class Ground:
    """A task, ready to be compared in."""

    task: Task
    sandbox: Sandbox
    context: Context
    limits: Limits
    classes: Mapping[ClassId, PatchClass]
    probes: Sequence[Probe]


def shortlists(task: PoolTask, sizes: Sequence[int], draws: int, seed: int) -> list[Shortlist]:
    """All that a method asks for in these draws, each once."""
    drawer = Drawer(task)
    found: dict[Shortlist, None] = {}
    for size in sizes:
        for _, draw in drawer.draws(size, size, draws, seed):
            for asks in (method.asks for method in METHODS.values() if method.asks and draw.classes):
                among = frozenset(asks.shortlist(draw))
                if len(among) > 1:
                    found[among, asks.single] = None
    return list(found)


def classes_of(result: Result) -> dict[ClassId, PatchClass]:
    """The classes of a run, each with the patch of its first member; without members, which a comparison never sees."""
    first = {made.class_id: made.patch for made in reversed(result.candidates) if made.class_id}
    return {ClassId(c): PatchClass(ClassId(c), Patch(patch), ()) for c, patch in first.items()}


def probes_of(result: Result) -> list[Probe]:
    return [
        Probe(
            p.id,
            p.function,
            p.call,
            ScriptId(p.origin),
            p.varied,
            {ClassId(c): text for c, text in p.outputs.items()},
            p.on_unedited,
        )
        for p in result.probes
    ]


def recorded(asked: Shortlist, found: Comparison, tokens: Mapping[str, int]) -> PoolComparison:
    among, single = asked
    passes = tuple(
        PoolPass(
            named=one.named,
            choice=one.choice,
            completion_tokens=tokens.get(f"comparison-{number}", 0),
            executions=len(one.rounds) * (len(among) + 1),
        )
        for number, one in enumerate(found.passes)
    )
    return PoolComparison(classes=tuple(sorted(among)), single=single, passes=passes)


async def compared(ground: Ground, asked: Shortlist, model: Model, turns: int, seed: int) -> PoolComparison | None:
    """The comparison of one shortlist; None when the model failed in it."""
    among, single = asked
    spent = Spent()
    found = await compare(
        ground.task,
        ground.context,
        [ground.classes[c] for c in sorted(among)],
        ground.sandbox,
        model,
        turns=turns,
        seed=seed,
        limits=ground.limits,
        parallel=2,
        recorder=spent,
        probes=() if single else ground.probes,
        most=1 if single else MOST_PASSES,
    )
    if failed := next((one.reason for one in found.passes if one.failed), ""):
        say(failed)
        return None
    return recorded(asked, found, spent.tokens)


async def grounds(
    instances: Sequence[Instance],
    folder: Path,
    results: Mapping[str, Result],
    backend: Backend,
    model: Model,
    seed: int,
) -> dict[str, Ground]:
    """The tasks with their sandboxes open. Raises HarnessError, SandboxError."""
    settings = Settings()

    async def one(instance: Instance) -> tuple[str, Ground]:
        name = instance.instance_id
        task = await anyio.to_thread.run_sync(partial(task_of, instance, settings, folder=folder / name))
        sandbox = await backend.open(task.environment, task.snapshot, run_id="comparisons")
        tree, cache = await sandbox.tree(), settings.paths.cache / "survey"
        context = await gather(task, tree, model, cache=cache, seed=seed, recorder=Spent())
        limits = (await try_import(sandbox, tree, Limits())).deadline(Limits())  # as a run has them
        return name, Ground(task, sandbox, context, limits, classes_of(results[name]), probes_of(results[name]))

    return dict(await each(instances, one, at_once=4))


def drop_half_a_line(path: Path) -> None:
    """What was being written when an earlier run was killed goes; all before it stays."""
    if path.is_file():
        os.truncate(path, path.read_bytes().rfind(b"\n") + 1)


async def ask(
    options: argparse.Namespace, instances: Sequence[Instance], results: Mapping[str, Result], tasks: Sequence[PoolTask]
) -> None:
    drop_half_a_line(options.out)
    done = {
        (line.id, frozenset(one.classes), one.single)
        for line in (row.read_as(TaskComparisons) for row in (read_rows(options.out) if options.out.is_file() else ()))
        for one in line.comparisons
    }
    asked = [
        (task.id, among, single)
        for task in tasks
        for among, single in shortlists(task, options.candidates, options.draws, options.seed)
        if (task.id, among, single) not in done
    ]
    say(f"{len(asked)} shortlists to compare, {len(done)} known")
    settings = Settings()
    urls = ",".join(f"{url.rstrip('/')}/v1" for url in options.url.split(",") if url)
    spec = f"openai:{options.model}@{urls}" if urls else options.model
    backend = choose_backend(settings.sandbox.backend, *backend_settings(settings), say=say)
    overrides = {"parallel": options.parallel} if options.parallel else {}
    async with open_model(spec, cache=settings.paths.cache, say=say, overrides=overrides) as model:
        try:
            with tempfile.TemporaryDirectory() as folder, options.out.open("a", encoding="utf-8") as out:
                wanted = {name for name, _, _ in asked}
                chosen = [instance for instance in instances if instance.instance_id in wanted]
                if missing := wanted - {instance.instance_id for instance in chosen}:
                    raise UsageError(f"{options.instances} has no {min(missing)}; give the instances of this very run")
                ready = await grounds(chosen, Path(folder), results, backend, model, options.seed)

                async def one(of: tuple[str, frozenset[ClassId], bool]) -> PoolComparison | None:
                    name, among, single = of
                    found = await compared(ready[name], (among, single), model, options.turns, options.seed)
                    if found is not None:
                        out.write(TaskComparisons(id=name, comparisons=(found,)).model_dump_json() + "\n")
                        out.flush()
                    return found

                began = time.monotonic()
                found = await each(asked, one, at_once=options.at_once)
                shown(found, time.monotonic() - began)
        finally:
            await backend.close()


def shown(found: Sequence[PoolComparison | None], wall: float) -> None:
    """Prints the figures."""
    whole = [one for one in found if one is not None]
    passes = [one for comparison in whole for one in comparison.passes]
    several = [one for one in whole if not one.single]
    tokens = sum(one.completion_tokens for one in passes)
    figures = {
        "compared": len(whole),
        "failed": len(found) - len(whole),
        "passes": len(passes),
        "that name one": share(sum(one.named is not None for one in passes), len(passes)),
        "after a difference": share(sum(one.choice is not None for one in passes), len(passes)),
        "comparisons of several passes": len(several),
        "decided": share(sum(majority([p.choice for p in one.passes]) is not None for one in several), len(several)),
        "first two agree": share(sum(agreed(one) for one in several), len(several)),
        "completion tokens": tokens,
        "executions": sum(one.executions for one in passes),
        "wall s": f"{wall:.0f}",
        "tokens/s": f"{tokens / wall:.0f}",
    }
    print(table(list(figures), [[str(value) for value in figures.values()]]), flush=True)


def agreed(comparison: PoolComparison) -> bool:
    """Whether the first two passes chose the same class."""
    first, second = (one.choice for one in comparison.passes[:2])
    return first is not None and first == second


def share(part: int, whole: int) -> str:
    return f"{part / whole:.3f}" if whole else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a batch's directory")
    parser.add_argument("--labels", action="append", required=True, help="as study takes them; no choice sees them")
    parser.add_argument("--instances", required=True, help="those that the batch solved")
    parser.add_argument("--url", default="", help="the server, without /v1; several with commas between")
    parser.add_argument("--model", required=True, help="what the server calls the model; without --url, a model's spec")
    parser.add_argument("--parallel", type=int, help="answers at once; the profile's own unless given")
    parser.add_argument("--at-once", type=int, default=64, help="comparisons")
    parser.add_argument("--candidates", type=int, action="append", required=True, help="of a draw; may be repeated")
    parser.add_argument("--draws", type=int, default=10, help="of each task at each size; as study's --draws")
    parser.add_argument("--turns", type=int, default=4, help="completions of a pass, at most")
    parser.add_argument("--only", default="", help="instance ids with commas between")
    parser.add_argument("--seed", type=int, default=0, help="as study's --seed")
    parser.add_argument("--out", type=Path, required=True, help="one line a comparison")
    options = parser.parse_args()
    only = set(filter(None, options.only.split(",")))
    try:
        tasks, notes = tasks_of_run(options.run, read_labels(options.labels))
        for note in notes:
            say(note)
        results = {name: result for name, _, result in results_of(options.run)}
        chosen = [task for task in tasks if not only or task.id in only]
        anyio.run(ask, options, read_instances(options.instances), results, chosen)
    except (HarnessError, ModelError, SandboxError) as error:
        sys.exit(f"comparisons: {error}")


if __name__ == "__main__":
    sys.exit(main())
