"""Judgements of pairs for a finished run, so that `bestpatch study` can play the methods that ask a model about pairs.

    python benchmarks/judgements.py RUN --instances small_bugs.jsonl --url http://127.0.0.1:8000 --model MODEL \\
        --parallel 256 --out judgements.jsonl
    bestpatch study RUN --labels labels.jsonl --judgements judgements.jsonl --run bestpatch-runs/study

All ordered pairs of each task's largest classes are judged, all tasks at once. The repository's files come from
`--instances` (JSONL with `instance_id` and `files`, as small_bugs.py takes it), for a run does not keep them; a task
without is judged by its issue and diffs alone. Several URLs, with commas between them, are one model; the key is
BESTPATCH_API_KEY. `--model` with a spec (`embedded:0.5b`, `scripted:FILE`) needs no `--url`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import anyio

# The first import of a sibling takes this folder off the path and puts the examples' folder on it.
from figures import table  # isort: skip
from solving import say  # isort: skip

from agent.context.ranking import lexical_order
from agent.context.sources import sources
from agent.context.window import counter, pack
from agent.errors import ModelError
from agent.model.base import Completion, Model, Profile, Request, Usage
from agent.model.open import open_model
from agent.parallel import each
from harness import Result, Settings
from harness.evaluation.labels import results_of
from harness.rows import read_rows
from harness.study_run import refused_classes
from sandbox.base import Patch, RepoPath
from selection.base import ClassId
from selection.judgement import agreement, judged
from selection.pool import PoolJudgement, TaskJudgements

Files = Mapping[str, str]
"""Path -> text."""


@dataclass
class Counted:
    """A model, and what it has cost."""

    model: Model
    usage: Usage = field(default_factory=Usage)
    with_chances: int = 0

    @property
    def profile(self) -> Profile:
        return self.model.profile

    async def complete(self, request: Request, n: int = 1) -> tuple[Completion, ...]:
        answers = await self.model.complete(request, n)
        for answer in answers:
            self.usage += answer.usage
            self.with_chances += any((answer.chances or {}).values())
        return answers


def largest(result: Result, most: int) -> dict[ClassId, Patch]:
    """Classes, those of most candidates first and among equals the best ranked -> the patch of the first member."""
    refused = refused_classes(result)
    members = [made for made in result.candidates if made.class_id and made.class_id not in refused]
    sizes = Counter(str(made.class_id) for made in members)
    first = {str(made.class_id): made for made in reversed(members)}
    order = sorted(first, key=lambda c: (-sizes[c], first[c].rank or len(members) + 1, c))
    return {ClassId(c): Patch(first[c].patch) for c in order[:most]}


def context_of(files: Files, issue: str, profile: Profile) -> str:
    """The files as a run shows them where all fit, else the best by the issue's words."""
    tree = {RepoPath(path): text.encode() for path, text in files.items()}
    ordered = [file for file, _ in lexical_order(issue, sources(tree))]
    ordered.sort(key=lambda file: file.test)
    return pack(ordered, issue, profile.context_budget, counter(profile.chars_per_token)).text


async def ask(options: argparse.Namespace, runs: Sequence[tuple[str, Result]], files: Mapping[str, Files]) -> None:
    settings = Settings()
    urls = ",".join(f"{url.rstrip('/')}/v1" for url in options.url.split(",") if url)
    spec = f"openai:{options.model}@{urls}" if urls else options.model
    overrides = {"parallel": options.parallel}
    async with open_model(spec, cache=settings.paths.cache, say=say, overrides=overrides) as opened:
        model = Counted(opened)
        with options.out.open("w", encoding="utf-8") as out:

            async def one(run: tuple[str, Result]) -> tuple[PoolJudgement, ...]:
                name, result = run
                context = context_of(files.get(name, {}), result.task.issue, model.profile)
                patches = largest(result, options.classes)
                found = await judged(
                    result.task.repository, context, result.task.issue, patches, model, seed=options.seed
                )
                if found:
                    out.write(TaskJudgements(id=name, judgements=found).model_dump_json() + "\n")
                    out.flush()
                return found

            began = time.monotonic()
            tasks = await each(runs, one, at_once=len(runs))
            wall = time.monotonic() - began
    shown(tasks, model, wall)


def shown(tasks: Sequence[tuple[PoolJudgement, ...]], model: Counted, wall: float) -> None:
    """Prints the figures."""
    everything = [one for found in tasks for one in found]
    agreements = [agreement(found) for found in tasks]
    agreed, both = sum(a for a, _ in agreements), sum(b for _, b in agreements)
    used = model.usage
    figures = {
        "tasks": sum(bool(found) for found in tasks),
        "ordered pairs": len(everything),
        "with probabilities": f"{model.with_chances / used.calls:.3f}" if used.calls else "",
        "wall s": f"{wall:.1f}",
        "pairs/s": f"{len(everything) / wall:.0f}",
        "prompt tokens": used.prompt_tokens,
        "prompt tokens/s": f"{used.prompt_tokens / wall:.0f}",
        "cached": f"{used.cached_tokens / used.prompt_tokens:.3f}" if used.prompt_tokens else "",
        "both orders agree": f"{agreed / both:.3f}" if both else "",
        "mean chance of the first": f"{sum(one.probability for one in everything) / len(everything):.3f}"
        if everything
        else "",
    }
    print(table(list(figures), [[str(value) for value in figures.values()]]), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a batch's directory")
    parser.add_argument("--instances", help="rows with `instance_id` and `files`")
    parser.add_argument("--url", default="", help="the server, without /v1")
    parser.add_argument("--model", required=True, help="what the server calls the model; without --url, a model's spec")
    parser.add_argument("--parallel", type=int, help="questions in flight; the profile's own unless given")
    parser.add_argument("--classes", type=int, default=12, help="of a task, at most")
    parser.add_argument("--only", default="", help="instance ids with commas between")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="one line a task")
    options = parser.parse_args()
    rows = [row.values for row in read_rows(options.instances)] if options.instances else []
    files = {str(row["instance_id"]): cast("Files", row["files"]) for row in rows if "files" in row}
    only = set(filter(None, options.only.split(",")))
    runs = [(name, result) for name, _, result in results_of(options.run) if not only or name in only]
    if missing := [name for name, _ in runs if name not in files]:
        say(f"{len(missing)} tasks have no files, such as {missing[0]}: judged by issue and diffs alone")
    try:
        anyio.run(ask, options, runs, files)
    except ModelError as error:
        sys.exit(f"judgements: {error}; {options.out} has the tasks that were finished")


if __name__ == "__main__":
    sys.exit(main())
