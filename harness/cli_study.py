"""The command `study`: names, options and help; registered by `harness.cli`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.commands.options import Debug, Json

STUDY_EPILOG = """Examples:

  bestpatch study pool.jsonl --run bestpatch-runs/study --group tuning --candidates 8 --candidates 32

  bestpatch study runs/nightly --labels runs/graded/labels.jsonl --run bestpatch-runs/study

POOL is a pool's own file (JSONL, one task a line), a file of predictions with `resolved`, or the directory of a batch
whose candidates were graded (bestpatch evaluate RUN --instances FILE --run DIR writes DIR/labels.jsonl). Nothing is
executed and no model is asked: only what was recorded is replayed.

Exit codes: 0 done, 2 wrong use, 4 the files could not be written.
"""


def study(
    pool: Annotated[list[str], typer.Argument(metavar="POOL...", help="Pools, predictions, runs.")],
    run: Annotated[Path, typer.Option("--run", help="Where study.md, study.json and study.html go.", metavar="DIR")],
    labels: Annotated[
        list[str] | None, typer.Option(help="Which candidates are right; may be repeated.", metavar="FILE")
    ] = None,
    judgements: Annotated[
        list[str] | None,
        typer.Option(help="A model's judgements of pairs of classes; may be repeated.", metavar="FILE"),
    ] = None,
    comparisons: Annotated[
        list[str] | None,
        typer.Option(help="What comparison trajectories chose; may be repeated.", metavar="FILE"),
    ] = None,
    candidates: Annotated[
        list[int] | None,
        typer.Option(
            help="Candidates of a draw; may be repeated. All that there are, if left out.", metavar="N", min=1
        ),
    ] = None,
    scripts: Annotated[
        list[int] | None,
        typer.Option(
            help="Scripts of unknown authors in a draw, one for each --candidates; else as many.", metavar="M"
        ),
    ] = None,
    group: Annotated[
        str | None, typer.Option(help="Only tasks of this group, such as a split.", metavar="NAME")
    ] = None,
    draws: Annotated[int, typer.Option(help="Draws of each task.", metavar="D", min=1)] = 100,
    seed: Annotated[int, typer.Option(help="Every draw derives from it.", metavar="S")] = 0,
    methods: Annotated[
        str | None, typer.Option(help="Only these, such as codet,agentless; random and ours stay.", metavar="NAMES")
    ] = None,
    allocate: Annotated[
        bool, typer.Option("--allocate", help="Find the best split of the candidates over the pool's sources.")
    ] = False,
    split: Annotated[
        list[str] | None,
        typer.Option(
            help="What this split over sources is worth: so many candidates of this one; may be repeated.",
            metavar="SOURCE=N",
        ),
    ] = None,
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary.")] = False,
    debug: Debug = False,
) -> None:
    """Measure every selection method on a labelled pool: writes study.md, study.json and study.html."""
    from harness.commands.common import ending

    with ending(debug=debug):
        from harness.commands.study import Asked, study_command

        names = tuple(name.strip() for name in (methods or "").split(",") if name.strip())
        study_command(
            Asked(
                tuple(pool),
                run,
                tuple(labels or ()),
                tuple(judgements or ()),
                tuple(comparisons or ()),
                tuple(candidates or ()),
                tuple(scripts or ()),
                *(group, draws, seed, names, allocate, tuple(split or ()), as_json, quiet),
            )
        )
