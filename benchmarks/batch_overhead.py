"""What a batch costs beside the models and the sandboxes: a scripted model, sandboxes that execute nothing.

python benchmarks/batch_overhead.py --tasks 1000 --candidates 10 --turns 4

Every task has so many candidates, and each of these so many editing turns besides one that writes a test script. Prints
CPU milliseconds per turn, peak memory, and the size of the journals. `--profile FILE` keeps a profile for `pstats`.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import anyio
from noop import MemoryBackend

sys.path.append(str(Path(__file__).parents[1]))

from agent.model.base import Stage
from agent.model.scripted import SCRIPTED, Rule, ScriptedModel
from agent.task import Task, TaskId
from harness import Settings
from harness.batch import BatchSettings, Job, batch
from harness.config import PathSettings, SandboxSettings, SelectionSettings
from harness.journal import FILE_NAME
from sandbox.base import ImageName

MODULE = "def add(a, b):\n    return a - b\n\n\ndef mul(a, b):\n    return a * b\n"
ISSUE = "add returns the difference\n\n    >>> add(1, 2)\n    -1\n"
SCRIPT = "```python\nfrom calc import add\nassert add(1, 2) == 3\n```"
EDIT = "calc.py\n```python\ndef add(a, b):\n    return a + b + {number}\n```"


def judge(script: str, files: Mapping[str, str]) -> int:
    """No edit passes, so that every trajectory takes all its turns."""
    return 2


class Model(ScriptedModel):
    """Forgets what it was asked, as a server does."""

    async def complete(self, request, n=1):  # type: ignore[no-untyped-def]
        answers = await super().complete(request, n)
        self.requests.clear()
        return answers


async def measured(options: argparse.Namespace, folder: Path) -> None:
    edits = [EDIT.format(number=number) for number in range(options.candidates * 2)]
    rules = [
        Rule(SCRIPT, stage=Stage.TEST_WRITING),
        Rule(*edits, stage=Stage.EDITING),
        Rule("no", stage=Stage.COMPARISON),
    ]
    settings = Settings(
        candidates=options.candidates,
        edit_turns=options.turns,
        test_turns=1,
        selection=SelectionSettings(regression_seconds=0.0, comparison_turns=1),
        sandbox=SandboxSettings(parallel=8, builds=2),
        paths=PathSettings(cache=folder / "cache"),
    )

    def make(name: str, _: Path) -> Task:
        return Task(TaskId(name), f"{ISSUE}\nReport {name}\n", "repo", "0" * 40, ImageName("memory"))

    jobs = [Job(f"task-{number}", "d", partial(make, f"task-{number}")) for number in range(options.tasks)]
    profile = cProfile.Profile() if options.profile else None
    cpu, began = time.process_time(), time.monotonic()
    if profile:
        profile.enable()
    model, backend = Model(rules, SCRIPTED), MemoryBackend({"calc.py": MODULE}, judge)
    how = BatchSettings(workers=8)
    summary = await batch(jobs, settings, run=folder / "run", model=model, backend=backend, how=how)
    if profile:
        profile.disable()
        profile.dump_stats(options.profile)
    cpu, wall = time.process_time() - cpu, time.monotonic() - began
    turns = options.tasks * options.candidates * (options.turns + 1)
    journals = sum(path.stat().st_size for path in (folder / "run").rglob(f"{FILE_NAME}*"))
    whole = sum(path.stat().st_size for path in (folder / "run").rglob("*") if path.is_file())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print("| tasks | turns | CPU ms a turn | CPU s | wall s | peak memory MB | journals MB | run directory MB |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    print(
        f"| {options.tasks} | {turns} | {cpu / turns * 1000:.2f} | {cpu:.1f} | {wall:.1f} | {peak / 1e6:.0f} "
        f"| {journals / 1e6:.1f} | {whole / 1e6:.1f} |"
    )
    print(f"ended: {summary.counts}; {summary.usage.calls} model calls", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--candidates", type=int, default=10)
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--folder", type=Path, help="where the run's directory is made; a temporary one unless given")
    parser.add_argument("--profile", type=Path)
    options = parser.parse_args()
    for name in [name for name in os.environ if name.startswith("BESTPATCH_")]:
        del os.environ[name]
    folder = Path(tempfile.mkdtemp(prefix="bestpatch-overhead-", dir=options.folder))
    try:
        anyio.run(measured, options, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
