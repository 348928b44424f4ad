"""A batch in a process of its own, to be killed: sandboxes in memory, a model server of the test's.

python -m tests.faults.drive_batch RUN URL COUNT [--workers N] [--pause SECONDS] [--patience SECONDS] [--tokens N]
    [--processes N]
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from answers import Answer, Answers, Body
from noop import MemoryBackend

from agent.task import Task, TaskId
from harness.batch import BatchSettings, Job, batch
from harness.batch_live import BatchLines
from harness.commands.batch import code_of
from harness.commands.common import ending, run_until_signal
from harness.commands.exit import INTERRUPTED, Exit
from harness.config import BudgetSettings, SandboxSettings, SelectionSettings, Settings
from sandbox.base import ImageName
from tests.harness.conftest import FILES

MODEL = "qwen2.5-coder-1.5b"
SCRIPTS = ("from calc import add\nassert add(1, 2) == 3\n", "import calc\nassert calc.add(2, 2) == 4\n")
EDITS = (
    'def add(a, b):\n    """The sum."""\n    return a + b\n',
    "def add(a, b):\n    return a + b  # right\n",
    "def add(a, b):\n    return 3\n",
)
PRINTS = ("from calc import add\nprint(add(2, 5))\n",)


def answer(body: Body) -> Answers:
    """What a deterministic model says: each answer by the seed alone."""
    asked = body["messages"][1]["content"]
    comparing = asked.startswith("Several candidates")
    what = PRINTS if comparing else SCRIPTS if asked.startswith("Write a short Python test script") else EDITS
    texts = [what[(body.get("seed", 0) + number) % len(what)] for number in range(body.get("n", 1))]
    return Answers([Answer(f"```python\n{text}```\n") for text in texts])


def judged(script: str, files: object) -> int:
    return 0 if "a + b" in str(files) else 2


def made(name: str, folder: Path) -> Task:
    issue = f"add returns the difference, says report {name}\n\n    >>> add(1, 2)\n    -1\n"
    return Task(TaskId(name), issue, "repo", "0" * 40, ImageName("memory"))


def jobs(count: int) -> list[Job]:
    names = [f"task-{number:02}" for number in range(count)]
    return [Job(name, "digest", partial(made, name)) for name in names]


def settings(url: str) -> Settings:
    return Settings(
        model=f"openai:{MODEL}@{url}",
        candidates=4,
        selection=SelectionSettings(regression_seconds=0.0),
        sandbox=SandboxSettings(parallel=2, builds=1),
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("url")
    parser.add_argument("count", type=int)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument("--patience", type=float, default=60.0)
    parser.add_argument("--tokens", type=int)
    asked = parser.parse_args()
    how = BatchSettings(
        workers=asked.workers,
        processes=asked.processes,
        budget=BudgetSettings(tokens=asked.tokens),
        patience=asked.patience,
    )
    backend = MemoryBackend(FILES, judged, asked.pause)
    work = partial(
        batch, jobs(asked.count), settings(asked.url), run=asked.run, how=how, backend=backend,
        watcher=BatchLines(sys.stderr),
    )  # fmt: skip
    with ending(debug=False):
        summary = run_until_signal(work)
        raise Exit(INTERRUPTED if summary is None else code_of(summary))


if __name__ == "__main__":
    # By its own name: what goes to worker processes must be found there, where `__main__` is another module.
    from tests.faults import drive_batch

    try:
        drive_batch.main()
    except Exit as end:
        sys.exit(end.code)
