"""The command `bestpatch`: names, options and help. What a command does stands in `harness.commands`.

Imports of libraries that take long to load stand inside the commands: `--help` answers at once.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from harness.commands.exit import Exit

app = typer.Typer(
    name="bestpatch",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="Turns an issue and a repository into the best patch that many tries can find.",
)

Config = Annotated[
    Path | None,
    typer.Option(help="Settings file; without it, bestpatch.toml in the repository is read.", metavar="FILE"),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks and debug logs.")]
Model = Annotated[
    str | None,
    typer.Option(help="embedded, vllm:NAME_OR_PATH, openai:MODEL@BASE_URL, or scripted:FILE.", metavar="SPEC"),
]

SOLVE_EPILOG = """Example:

  bestpatch solve . --issue issue.md --candidates 16 --apply fix/issue-12

Exit codes: 0 a patch was chosen, 2 wrong use, 3 no candidate or abstained, 4 something that a run needs failed,
5 budget spent before a candidate, 130 interrupted. The same command again goes on where an interrupted run stopped.
"""


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"bestpatch {version('bestpatch')}")
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
        str, typer.Option(help="The issue: a file, the text itself, or - for standard input.", metavar="FILE|TEXT|-")
    ],
    candidates: Annotated[int | None, typer.Option(help="Editing trajectories, each a candidate.", metavar="N")] = None,
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
