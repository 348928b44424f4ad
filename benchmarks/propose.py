"""What the trajectories alone come to, before any selection: valid scripts, right candidates, turn by turn.

python benchmarks/propose.py small_bugs.jsonl --split tuning --count 20 --candidates 8
python benchmarks/propose.py examples --without-suspects

Prints for each task how many scripts were valid and how many candidates were right by the hidden tests, then what the
turns of each stage led to. `--without-suspects` and `--edit-format` give the alternatives to set beside it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

# The first import of a sibling takes this folder off the path and puts the examples' folder on it.
from small_bugs import INSTALL, Item, arguments, folder_of, start  # isort: skip
from small_bugs import item as small_bug  # isort: skip
from solving import say  # isort: skip
from check import ISSUES, check, hidden_tests
from make_repo import make_repo

import agent.editing
from agent.context.gather import gather
from agent.model.base import Model
from agent.model.open import open_model
from agent.propose import ProposeSettings, propose
from agent.trajectory import Turn
from harness import Settings, local_task
from harness.config import EnvironmentSettings, backend_settings
from sandbox.backends import choose_backend


class Turns:
    """A recorder that counts what turns led to."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, int, str]] = Counter()
        self.tokens = 0

    def turn(self, turn: Turn) -> None:
        self.counts[turn.stage, turn.index, turn.outcome] += 1
        self.tokens += turn.completion.usage.completion_tokens

    def stage(self, stage: str, done: int, total: int) -> None:
        """Progress is not shown."""

    def note(self, kind: str, detail: Mapping[str, object]) -> None:
        if kind.endswith("failed"):
            say(f"  {kind}: {dict(detail)}")


async def measured(item: Item, model: Model, options: argparse.Namespace, seed: int, turns: Turns) -> dict[str, float]:
    """One proposal for an item, each candidate judged by the hidden tests."""
    settings = Settings(model=options.model, environment=EnvironmentSettings(install=INSTALL))
    task = local_task(item.repository, item.issue, settings)
    backend = choose_backend(settings.sandbox.backend, *backend_settings(settings), say=say)
    try:
        sandbox = await backend.open(task.environment, task.snapshot, run_id="benchmark-propose")
        started = time.monotonic()
        cache = settings.paths.cache / "survey"
        context = await gather(task, await sandbox.tree(), model, cache=cache, seed=seed, recorder=turns)
        how = ProposeSettings(options.candidates, options.test_turns, options.edit_turns, seed)
        made = await propose(task, context, sandbox, model, how, turns)
        seconds = time.monotonic() - started
        judged = {c.patch: (await check(sandbox, c.patch, item.tests)).passed for c in made.candidates}
    finally:
        await backend.close()
    right = [judged[candidate.patch] for candidate in made.candidates]
    passing = [judged[c.patch] for c in made.candidates if c.passes_own_script]
    return {
        "valid": sum(script.valid for script in made.scripts) / options.candidates,
        "made": len(right) / options.candidates,
        "random": sum(right) / len(right) if right else 0.0,
        "oracle": float(any(right)),
        "passing": len(passing) / options.candidates,
        "right of passing": sum(passing) / len(passing) if passing else 0.0,
        "seconds": seconds,
    }


def items(options: argparse.Namespace) -> Sequence[Item]:
    """The examples, or instances of a JSONL file as `small_bugs.py` takes them."""
    folder = folder_of("propose", options)
    if options.file == "examples":
        shutil.rmtree(folder / "studio", ignore_errors=True)
        repository = make_repo(folder / "studio")
        names = options.issues.split(",") if options.issues else sorted(file.stem for file in ISSUES.glob("*.md"))
        return [
            Item(name, repository, (ISSUES / f"{name}.md").read_text("utf-8"), hidden_tests(name)) for name in names
        ]
    rows = [json.loads(line) for line in Path(options.file).read_text("utf-8").splitlines() if line.strip()]
    rows = [row for row in rows if row["split"] == options.split and row["hidden_test_files"]]
    return [small_bug(row, folder / "repositories") for row in rows[: options.count]]


async def main() -> None:
    parser = arguments((__doc__ or "").splitlines()[0])
    parser.add_argument("file", help="`examples`, or a JSONL file of small bugs")
    parser.add_argument("--issues", default="", help="of the examples, names with commas between; all when left out")
    parser.add_argument("--split", default="tuning")
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--test-turns", type=int, default=2)
    parser.add_argument("--edit-turns", type=int, default=3)
    parser.add_argument("--edit-format", choices=("symbol", "search_replace"), help="instead of the profile's")
    parser.add_argument("--without-suspects", action="store_true", help="let the model find the function itself")
    options = parser.parse_args()
    try:
        chosen = items(options)
    except (OSError, ValueError, KeyError) as problem:
        sys.exit(f"propose: {type(problem).__name__}: {problem}")
    if options.without_suspects:
        agent.editing.suspects = lambda *_, **__: []
    turns, rows = Turns(), list[dict[str, float]]()
    overrides = {"edit_format": options.edit_format} if options.edit_format else {}
    cache = Settings().paths.cache
    async with open_model(options.model, cache=cache, log_dir=options.folder, say=say, overrides=overrides) as model:
        for item in chosen:
            row = await measured(item, model, options, int(options.seeds), turns)
            rows.append(row)
            print(item.name, " ".join(f"{name} {value:.2f}" for name, value in row.items()), flush=True)
    if not rows:
        sys.exit("propose: no instance of that split has hidden tests")
    print("mean", " ".join(f"{name} {sum(row[name] for row in rows) / len(rows):.3f}" for name in rows[0]))
    for (stage, index, outcome), count in sorted(turns.counts.items()):
        print(f"  {stage} turn {index}: {outcome} {count}")
    print(f"  {turns.tokens} tokens written")


if __name__ == "__main__":
    start(main)
