"""How much faster several processes do a batch's tasks than one: a server that answers at once, sandboxes in memory.

python benchmarks/processes.py --tasks 40 --candidates 8 --processes 1 2

So nothing is waited for, and what is measured is the batch's own work. Each round does each number of processes once.
Seconds are those from the first question to the last answer: how long an interpreter takes to start is no part of them.
The server is a process of its own on the same cores, which takes some of what it is to measure.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import anyio
from answers import Answer, Answers, AnswerServer, Body
from figures import table
from noop import MemoryBackend

sys.path.append(str(Path(__file__).parents[1]))

from agent.task import Task, TaskId
from harness import Settings
from harness.batch import BatchSettings, Job, batch
from harness.config import PathSettings, ProfileSettings, SandboxSettings, SelectionSettings
from sandbox.base import ImageName

ROOT = Path(__file__).parents[1]
MODEL = "qwen2.5-coder-1.5b"
MODULE = "def add(a, b):\n    return a - b\n"
SCRIPT = "```python\nfrom calc import add\nassert add(1, 2) == 3\n```"
EDIT = "calc.py\n```python\ndef add(a, b):\n    return a + b + {number}\n```"


def answer(body: Body) -> Answers:
    """Each edit another one, by the seed."""
    script = body["messages"][1]["content"].startswith("Write a short Python test script")
    numbers = range(body.get("seed", 0), body.get("seed", 0) + body.get("n", 1))
    return Answers([Answer(SCRIPT if script else EDIT.format(number=number % 97)) for number in numbers])


def judge(script: str, files: Mapping[str, str]) -> int:
    """No edit passes, so that every trajectory takes all its turns."""
    return 2


def made(name: str, _folder: Path) -> Task:
    return Task(TaskId(name), f"add is wrong, says {name}\n", "repo", "0" * 40, ImageName("memory"))


async def one(options: argparse.Namespace) -> None:
    """A batch, in this process and those that it starts."""
    import processes  # by its own name: what goes to other processes must be found there

    settings = Settings(
        model=f"openai:{MODEL}@{options.url}",
        candidates=options.candidates,
        test_turns=1,
        edit_turns=options.turns,
        profile=ProfileSettings(parallel=16 * options.candidates),
        selection=SelectionSettings(regression_seconds=0.0, comparison_turns=0),
        sandbox=SandboxSettings(parallel=8, builds=2),
        paths=PathSettings(cache=options.run / "cache"),
    )
    jobs = [Job(f"task-{number}", "d", partial(processes.made, f"task-{number}")) for number in range(options.tasks)]
    backend = MemoryBackend({"calc.py": MODULE}, processes.judge)
    how = BatchSettings(workers=8, processes=options.processes[0])
    summary = await batch(jobs, settings, run=options.run, how=how, backend=backend)
    if summary.stopped or "failed" in summary.counts:
        sys.exit(f"processes: {summary.counts}")


def measured(options: argparse.Namespace, server: AnswerServer, count: int, run: Path) -> float:
    """Seconds from the first question to the last answer."""
    server.asked.clear()
    server.answered.clear()
    more = [f"--{name}={getattr(options, name)}" for name in ("tasks", "candidates", "turns")]
    command = [sys.executable, __file__, "--url", server.url, "--run", str(run), "--processes", str(count), *more]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    shutil.rmtree(run)
    return server.answered[-1].at - server.asked[0].at


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", type=int, default=40)
    parser.add_argument("--candidates", type=int, default=8)
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--processes", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.url:
        return anyio.run(one, options)
    seconds: dict[int, list[float]] = {count: [] for count in options.processes}
    calls = 0
    with tempfile.TemporaryDirectory(prefix="bestpatch-processes-") as folder, AnswerServer(answer, MODEL) as server:
        for number in range(options.rounds):
            for count in options.processes:
                seconds[count].append(measured(options, server, count, Path(folder) / f"{number}-{count}"))
                calls = len(server.answered)
    first = statistics.median(seconds[options.processes[0]])
    rows = [
        [str(count), str(calls), *(f"{value:.2f}" for value in (statistics.median(each), min(each), max(each))),
         f"{calls / statistics.median(each):.0f}", f"{first / statistics.median(each):.2f}"]
        for count, each in seconds.items()
    ]  # fmt: skip
    print(table(["processes", "calls", "median s", "least", "most", "calls/s", "times as fast"], rows))
    return None


if __name__ == "__main__":
    main()
