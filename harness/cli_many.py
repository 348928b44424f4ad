"""The commands that work on many instances: names, options and help; registered by `harness.cli`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.commands.options import Config, Debug, Json, Model

BATCH_EPILOG = """Example:

  bestpatch batch instances.jsonl --run runs/nightly --shard 1/4 --run-budget money=20,wall=8h

INSTANCES is a JSONL, JSON or Parquet file in SWE-bench's schema, the name of a data set on a hub, or a jobs file
(.toml) that names issues, repositories and what becomes of a patch. The same command again goes on where the run
stopped: finished tasks are not opened, and nothing that was answered is asked again.

Exit codes: 0 every task came to its end, 2 wrong use, 3 no task has a patch, 4 a task or the run failed, 5 the run's
budget was spent before all tasks, 130 interrupted.
"""

Split = Annotated[str, typer.Option(help="Split of a hub's data set.", metavar="NAME")]
Only = Annotated[
    list[str] | None, typer.Option(help="Instance id, or a pattern such as django__*; may be repeated.", metavar="ID")
]
Sample = Annotated[int | None, typer.Option(help="So many, drawn by the seed.", metavar="N")]
Shard = Annotated[str | None, typer.Option(help="This part of so many, such as 2/8.", metavar="I/N")]
Priority = Annotated[
    list[str] | None, typer.Option(help="Instance id or pattern that goes first; may be repeated.", metavar="ID")
]
RunDirectory = Annotated[Path, typer.Option("--run", help="The run's directory.", metavar="DIR")]
Workers = Annotated[int | None, typer.Option(help="Tasks at work at once.", metavar="N", min=1)]
Processes = Annotated[
    int | None,
    typer.Option(help="That share the tasks; one for every four cores, from eight on.", metavar="N", min=1),
]
RunBudget = Annotated[
    str | None,
    typer.Option(help="Of all tasks together: tokens=5M,money=20,model=9h,wall=8h.", metavar="LIMITS"),
]
Patience = Annotated[
    str | None,
    typer.Option(help="How long to wait for a model or engine that is away.", metavar="TIME"),
]
Retry = Annotated[bool, typer.Option("--retry", help="Also try again failures that do not pass by themselves.")]
Candidates = Annotated[int | None, typer.Option(help="Editing trajectories of each task.", metavar="N")]
Turns = Annotated[int | None, typer.Option(help="Turns of each trajectory.", metavar="T")]
TaskBudget = Annotated[str | None, typer.Option(help="Of each task, such as tokens=200k,wall=30m.", metavar="LIMITS")]
Seed = Annotated[int | None, typer.Option(help="Every draw derives from it.", metavar="S")]
MinConfidence = Annotated[float | None, typer.Option(help="Abstain below it, 0 to 1.", metavar="P")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary.")]


def batch(
    instances: Annotated[str, typer.Argument(metavar="INSTANCES", help="The instances' or jobs' file, or a data set.")],
    run: RunDirectory,
    split: Split = "test",
    only: Only = None,
    sample: Sample = None,
    shard: Shard = None,
    priority: Priority = None,
    workers: Workers = None,
    processes: Processes = None,
    candidates: Candidates = None,
    turns: Turns = None,
    model: Model = None,
    budget: TaskBudget = None,
    run_budget: RunBudget = None,
    patience: Patience = None,
    retry: Retry = False,
    seed: Seed = None,
    min_confidence: MinConfidence = None,
    deliver: Annotated[
        bool, typer.Option("--deliver", help="Make the branches and pull requests of a jobs file.")
    ] = False,
    config: Config = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Solve many instances as one run: writes predictions.jsonl, summary.json and report.html."""
    from harness.commands.common import ending
    from harness.commands.flags import nested

    with ending(debug=debug):
        from harness.commands.batch import Asked, Choice, batch_command

        flags = nested(
            {
                "model": model,
                "candidates": candidates,
                "test_turns": turns,
                "edit_turns": turns,
                "seed": seed,
                "selection.min_confidence": min_confidence,
            },
            budget,
        )
        choice = Choice(instances, split, tuple(only or ()), sample, shard, tuple(priority or ()))
        how = (workers, processes, run_budget, patience, retry)
        asked = Asked(choice, run, *how, config, as_json, quiet, debug, deliver)
        batch_command(asked, flags)


DELIVER_EPILOG = """Example:

  bestpatch deliver jobs.toml --run runs/nightly --yes

Exit codes: 0 all that was selected is delivered (or would be), 2 wrong use, 4 something could not be delivered.
"""


def deliver(
    jobs: Annotated[Path, typer.Argument(metavar="JOBS", help="The jobs' file.")],
    run: RunDirectory,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it; without, only say what would be done.")] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Make the branches and pull requests of a jobs file from what a run has selected; nothing twice."""
    from harness.commands.common import ending

    with ending(debug=debug):
        from harness.commands.deliver import deliver_command

        deliver_command(jobs, run, yes=yes, as_json=as_json)


SELECT_EPILOG = """Example:

  bestpatch select instances.jsonl --candidates system-a.jsonl --candidates runs/nightly --run runs/barrel

A source of candidates is a JSONL or JSON file of predictions (instance_id, model_name_or_path, model_patch; any number
of lines for an instance), or the directory of a batch, all of whose candidates are taken. Patches that do not apply,
are too large or empty are refused, and what no patch should hold is left out; a task's report says so for each one.
"""


def select(
    instances: Annotated[str, typer.Argument(metavar="INSTANCES", help="The instances' file or data set.")],
    candidates: Annotated[list[str], typer.Option(help="Where candidates are; may be repeated.", metavar="FILE|DIR")],
    run: RunDirectory,
    split: Split = "test",
    only: Only = None,
    sample: Sample = None,
    shard: Shard = None,
    priority: Priority = None,
    workers: Workers = None,
    processes: Processes = None,
    scripts: Annotated[int | None, typer.Option(help="Test-writing trajectories of each task.", metavar="N")] = None,
    turns: Turns = None,
    model: Model = None,
    budget: TaskBudget = None,
    run_budget: RunBudget = None,
    patience: Patience = None,
    retry: Retry = False,
    seed: Seed = None,
    min_confidence: MinConfidence = None,
    config: Config = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Choose among given candidates of any origin: writes what batch writes."""
    from harness.commands.common import ending
    from harness.commands.flags import nested

    with ending(debug=debug):
        from harness.commands.batch import Asked, Choice
        from harness.commands.select import select_command

        flags = nested(
            {
                "model": model,
                "candidates": scripts,
                "test_turns": turns,
                "seed": seed,
                "selection.min_confidence": min_confidence,
            },
            budget,
        )
        choice = Choice(instances, split, tuple(only or ()), sample, shard, tuple(priority or ()))
        how = (workers, processes, run_budget, patience, retry)
        asked = Asked(choice, run, *how, config, as_json, quiet, debug)
        select_command(asked, candidates, flags)
