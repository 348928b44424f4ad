"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
