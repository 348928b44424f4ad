"""What the examples of issues are worth as test scripts: how often they fail before, and accept the right fix.

python benchmarks/examples_of_issues.py small_bugs.jsonl --split tuning --image bestpatch/python:3.11

A line has `instance_id`, `problem_statement`, `files` (path -> text: the repository), `patch` (the right fix) and
`split`. No model is asked. Each example runs in the sandbox on the unedited tree and on the fixed one.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
from figures import table

# isort: split
from small_bugs import item
from solving import in_parallel, say, start

from agent.context.gather import Context
from agent.example_scripts import issue_scripts
from agent.exchange import Ground
from agent.model.scripted import ScriptedModel
from agent.trajectory import TestScript
from harness import Settings, local_task
from harness.config import EnvironmentSettings, backend_settings
from harness.progress import Silence
from sandbox.backends import choose_backend
from sandbox.base import Backend, Limits, Patch
from sandbox.script import Verdict

LIMITS = Limits(seconds=10.0)


@dataclass(frozen=True)
class Seen:
    """One example's script, and what it says of the right fix."""

    issue: str
    script: TestScript
    fixed: Verdict

    @property
    def right(self) -> bool:
        return self.fixed is Verdict.PASSED


async def seen(row: Mapping[str, Any], folder: Path, backend: Backend, settings: Settings) -> list[Seen]:
    """All examples of one issue, run on the unedited tree and on the fixed one."""
    bug = item(row, folder)
    task = local_task(bug.repository, bug.issue, settings)
    sandbox = await backend.open(task.environment, task.snapshot, run_id="benchmark")
    try:
        tree = await sandbox.tree()
        context = Context("", tuple(path for path in tree if path.endswith(".py")), tree, "")
        ground = Ground.of(task, context, sandbox, ScriptedModel([]), Silence(), limits=LIMITS, seed=0, parallel=2)
        scripts = await issue_scripts(ground)
        fixed = [(await ground.execute(script.source, Patch(row["patch"]))).verdict for script in scripts]
    finally:
        await sandbox.close()
    return [Seen(bug.name, script, verdict) for script, verdict in zip(scripts, fixed, strict=True)]


def report(issues: int, found: Sequence[Seen]) -> str:
    """The figures as a Markdown table."""
    valid = [one for one in found if one.script.valid]
    guards = [one for one in found if one.script.guard]
    silent = [one for one in found if not one.script.valid and not one.script.guard]
    holds = [one for one in silent if one.script.on_unedited.verdict is Verdict.PASSED]
    rows = [
        ("issues with an example", _issues(found), issues),
        ("issues with a valid one", _issues(valid), issues),
        ("issues with a valid one, all of which accept the right fix", _issues(valid) - _issues(wrong(valid)), issues),
        ("examples that fail before (valid)", len(valid), len(found)),
        ("of these, accept the right fix", len(valid) - len(wrong(valid)), len(valid)),
        ("examples that hold before and are guards", len(guards), len(found)),
        ("of these, accept the right fix", len(guards) - len(wrong(guards)), len(guards)),
        ("examples that hold before and have no vote", len(holds), len(found)),
        ("of these, accept the right fix", len(holds) - len(wrong(holds)), len(holds)),
        ("examples that break or do not end before", len(silent) - len(holds), len(found)),
    ]
    lines = [(what, str(part), str(whole), f"{part / whole:.2f}" if whole else "-") for what, part, whole in rows]
    return table(("what", "number", "of", "share"), lines)


def wrong(found: Sequence[Seen]) -> list[Seen]:
    return [one for one in found if not one.right]


def _issues(found: Sequence[Seen]) -> int:
    return len({one.issue for one in found})


async def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--split", default="tuning")
    parser.add_argument("--count", type=int, default=1000, help="the first so many of the split")
    parser.add_argument("--image", help="an image with Python, instead of the environments found")
    parser.add_argument("--show", action="store_true", help="the scripts that reject the right fix, or break")
    options = parser.parse_args()
    try:
        rows = [json.loads(line) for line in options.file.read_text("utf-8").splitlines() if line.strip()]
        rows = [row for row in rows if row["split"] == options.split][: options.count]
    except (OSError, ValueError, KeyError) as problem:
        sys.exit(f"examples_of_issues: {type(problem).__name__}: {problem}")
    settings = Settings(environment=EnvironmentSettings(image=options.image))
    backend = choose_backend(settings.sandbox.backend, *backend_settings(settings), say=say)
    found: dict[str, list[Seen]] = {}
    with tempfile.TemporaryDirectory() as folder:

        async def one(row: Mapping[str, Any]) -> None:
            found[row["instance_id"]] = await seen(row, Path(folder), backend, settings)

        try:
            await in_parallel(2, [lambda row=row: one(row) for row in rows])
        finally:
            with anyio.CancelScope(shield=True):
                await backend.close()
    everything = [each for row in rows for each in found[row["instance_id"]]]
    if options.show:
        for odd in everything:
            if (not odd.right and odd.script.valid) or odd.script.on_unedited.verdict is Verdict.BROKEN:
                print(f"{odd.issue}: {odd.script.on_unedited.verdict}, then {odd.fixed}\n{odd.script.source}")
                print(odd.script.on_unedited.execution.output[-400:])
    print(report(len(rows), everything))


if __name__ == "__main__":
    start(main)
