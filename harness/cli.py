"""The command `bestpatch`: names, options and help. What a command does stands in `harness.commands`.

Imports of libraries that take long to load stand inside the commands: `--help` answers at once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from harness.cli_many import BATCH_EPILOG, DELIVER_EPILOG, SELECT_EPILOG, batch, deliver, select
from harness.cli_study import STUDY_EPILOG, study
from harness.commands.exit import Exit
from harness.commands.options import Config, Debug, Json, Model
from harness.release import release

app = typer.Typer(
    name="bestpatch",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="Turns an issue and a repository into the best patch that many tries can find.",
)

SOLVE_EPILOG = """Example:

  bestpatch solve . --issue issue.md --candidates 16 --apply fix/issue-12

Exit codes: 0 a patch was chosen, 2 wrong use, 3 no candidate or abstained, 4 something that a run needs failed,
5 budget spent before a candidate, 130 interrupted. The same command again goes on where an interrupted run stopped.
"""


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"bestpatch {release()}")
        raise typer.Exit


@app.callback()
def root(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options of the program itself."""


@app.command(epilog=SOLVE_EPILOG)
def solve(
    repository: Annotated[Path, typer.Argument(metavar="REPO", help="The root of a git repository.")],
    issue: Annotated[
        str,
        typer.Option(
            help="The issue: a file, the text itself, its address on GitHub, or - for standard input.",
            metavar="FILE|TEXT|URL|-",
        ),
    ],
    candidates: Annotated[int | None, typer.Option(help="Editing trajectories at most.", metavar="N")] = None,
    turns: Annotated[int | None, typer.Option(help="Turns of each trajectory.", metavar="T")] = None,
    out: Annotated[Path | None, typer.Option(help="The run's directory.", metavar="DIR")] = None,
    apply: Annotated[
        str | None, typer.Option(help="Commit the chosen patch on this new branch.", metavar="BRANCH")
    ] = None,
    model: Model = None,
    budget: Annotated[
        str | None, typer.Option(help="Such as tokens=200k,money=2,model=1h,wall=30m.", metavar="LIMITS")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Every draw derives from it.", metavar="S")] = None,
    base: Annotated[
        str | None, typer.Option(help="The commit to start from, HEAD unless named.", metavar="REVISION")
    ] = None,
    min_confidence: Annotated[
        float | None, typer.Option(help="Abstain below it, 0 to 1 (exit code 3).", metavar="P")
    ] = None,
    test_command: Annotated[
        str | None, typer.Option(help="Runs the repository's own tests.", metavar="COMMAND")
    ] = None,
    python: Annotated[str | None, typer.Option(help="Python version of the environment.", metavar="X.Y")] = None,
    image: Annotated[str | None, typer.Option(help="An image that has what the code needs.", metavar="NAME")] = None,
    dockerfile: Annotated[str | None, typer.Option(help="The project's own Dockerfile.", metavar="PATH")] = None,
    devcontainer: Annotated[str | None, typer.Option(help="The project's devcontainer.json.", metavar="PATH")] = None,
    install: Annotated[
        list[str] | None, typer.Option(help="Command that installs the project; may be repeated.", metavar="COMMAND")
    ] = None,
    apt: Annotated[list[str] | None, typer.Option(help="System package; may be repeated.", metavar="PACKAGE")] = None,
    config: Config = None,
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary.")] = False,
    debug: Debug = False,
) -> None:
    """Solve one issue in a local repository: writes patch.diff, result.json and report.html."""
    from harness.commands.common import ending
    from harness.commands.flags import nested
    from harness.commands.solve import Asked, solve_command

    with ending(debug=debug):
        flags = nested(
            {
                "model": model,
                "candidates": candidates,
                "test_turns": turns,
                "edit_turns": turns,
                "seed": seed,
                "selection.min_confidence": min_confidence,
                "environment.test_command": test_command,
                "environment.python": python,
                "environment.image": image,
                "environment.dockerfile": dockerfile,
                "environment.devcontainer": devcontainer,
                "environment.install": install,
                "environment.apt": apt,
            },
            budget,
        )
        solve_command(Asked(repository, issue, base, out, apply, config, as_json, quiet, debug), flags)


app.command(epilog=BATCH_EPILOG)(batch)
app.command(epilog=DELIVER_EPILOG)(deliver)
app.command(epilog=SELECT_EPILOG)(select)


SERVE_EPILOG = """Examples:

  bestpatch serve vllm:Qwen/Qwen2.5-Coder-32B-Instruct

  bestpatch serve embedded --port 8000

Prints what other commands need to reach it: BESTPATCH_MODEL, and the key unless BESTPATCH_API_KEY gives one. How many
GPUs a server takes, and all else, is chosen for the model and the machine; [serve] in a settings file says otherwise.
"""


@app.command(epilog=SERVE_EPILOG)
def serve(
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="vllm:NAME_OR_PATH, or embedded; what suits this machine.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Of the first server; further ones take the next.", min=1, max=65535, metavar="P")
    ] = None,
    logs: Annotated[Path | None, typer.Option(help="Where the servers' logs are kept.", metavar="DIR")] = None,
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Serve a model on this machine for other commands, until Ctrl-C."""
    from harness.commands.common import ending
    from harness.commands.flags import nested

    with ending(debug=debug):
        from harness.commands.serve import serve_command
        from harness.load import load

        settings = load(config=config, flags=nested({"model": model}, None))
        serve_command(settings, port=port, log_dir=logs, as_json=as_json)


@app.command(epilog="Example:\n\n  bestpatch doctor --mend")
def doctor(
    mend: Annotated[bool, typer.Option("--mend", help="Set up what is missing.")] = False,
    model: Model = None,
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Check what a run needs (git, Docker, disk, registries, GPU, model), and say how to mend it."""
    from harness.commands.common import ending

    with ending(debug=debug):
        from harness.commands.doctor import doctor_command
        from harness.commands.flags import nested
        from harness.load import load

        doctor_command(load(config=config, flags=nested({"model": model}, None)), mend=mend, as_json=as_json)


PRUNE_EPILOG = """Example:

  bestpatch prune --older-than 2d --dry-run

Only what bestpatch made is looked at: images with its label and none but its names, what its builds left, containers of
runs and temporary files of processes that are no more. What a run uses now stays in any case.
"""


@app.command(epilog=PRUNE_EPILOG)
def prune(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove without asking.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would go.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Images that were used lately, too.")] = False,
    older_than: Annotated[
        str | None, typer.Option(help="Images not used for so long; 7d unless given.", metavar="TIME")
    ] = None,
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Give disk back: images that were not used lately, and what killed runs left behind."""
    from harness.commands.common import ending

    with ending(debug=debug):
        from harness.commands.prune import Asked, prune_command
        from harness.load import load

        prune_command(load(config=config), Asked(yes, dry_run, everything, older_than, as_json))


@app.command(epilog="Example:\n\n  bestpatch report bestpatch-runs/studio-1a2b3c4d-5e6f70")
def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's directory.")],
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Make a run's report.html anew, and print its summary."""
    from harness.commands.common import ending

    with ending(debug=debug):
        from harness.commands.report import report_command

        report_command(run, as_json=as_json)


EVALUATE_EPILOG = """Examples:

  bestpatch evaluate predictions.jsonl --instances instances.jsonl --run bestpatch-runs/evaluation

  bestpatch evaluate --gold --instances instances.jsonl --run bestpatch-runs/gold

Exit codes: 0 graded (--gold: every gold patch passes and no unedited tree does), 2 wrong use, 3 not as expected
(--gold), 4 something could not be graded, 130 interrupted. The same command again grades only what is left.
"""


@app.command(epilog=EVALUATE_EPILOG)
def evaluate(
    instances: Annotated[
        str, typer.Option(help="JSONL, JSON or Parquet, also .gz, or a hub's data set.", metavar="FILE|OWNER/SET")
    ],
    run: Annotated[Path, typer.Option(help="The run's directory.", metavar="DIR")],
    predictions: Annotated[
        str | None, typer.Argument(metavar="[PREDICTIONS]", help="JSONL or JSON of patches; or a run: all of its.")
    ] = None,
    gold: Annotated[
        bool, typer.Option("--gold", help="Check the instances: with the gold patch, and without.")
    ] = False,
    split: Annotated[str, typer.Option(help="Split of a hub's data set.", metavar="NAME")] = "test",
    only: Annotated[
        list[str] | None, typer.Option(help="Instance id or pattern; may be repeated.", metavar="PATTERN")
    ] = None,
    sample: Annotated[int | None, typer.Option(help="So many instances, drawn by the seed.", metavar="N")] = None,
    shard: Annotated[str | None, typer.Option(help="Part I of N, such as 1/4.", metavar="I/N")] = None,
    repeat: Annotated[
        int, typer.Option(help="Runs of the tests on each tree; tells flaky tests.", metavar="N", min=1, max=100)
    ] = 1,
    timeout: Annotated[str, typer.Option(help="Deadline of one run of the tests.", metavar="TIME")] = "30m",
    workers: Annotated[int | None, typer.Option(help="Instances at once.", metavar="N", min=1)] = None,
    seed: Annotated[int | None, typer.Option(help="Of --sample.", metavar="S")] = None,
    config: Config = None,
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary.")] = False,
    debug: Debug = False,
) -> None:
    """Grade predictions by their instances' tests: writes report.json, details.json, junit.xml and summary.md."""
    from harness.commands.common import ending
    from harness.commands.flags import nested

    with ending(debug=debug):
        from harness.commands.evaluate import Asked, evaluate_command

        asked = Asked(
            *(predictions, instances, run, gold, split, only or [], sample, shard, repeat, timeout, workers),
            *(config, as_json, quiet),
        )
        evaluate_command(asked, nested({"seed": seed}, None))


app.command(epilog=STUDY_EPILOG)(study)


def main() -> None:
    """The entry point of the command. Always exits."""
    try:
        app()
    except Exit as end:
        sys.exit(end.code)
    except BrokenPipeError:
        sys.exit(141)  # as a shell shows SIGPIPE


if __name__ == "__main__":
    main()
