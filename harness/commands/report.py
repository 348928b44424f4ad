"""`bestpatch report`: the report of a run, made anew from its result and journal."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from harness.commands.common import give
from harness.commands.solve import summary
from harness.errors import UsageError
from harness.journal import read_turns
from harness.outcome import write_files
from harness.result import Result


def report_command(run: Path, *, as_json: bool) -> None:
    """Raises UsageError when there is no run, or one of another schema."""
    folder = run.parent if run.name == "result.json" else run
    path = folder / "result.json"
    if not path.is_file():
        raise UsageError(f"{folder} holds no result.json; name the directory that `bestpatch solve --out` wrote")
    try:
        result = Result.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{path} cannot be read: {where}: {first['msg']}; it may be another version's") from None
    write_files(folder, result, read_turns(folder))
    give(result.model_dump_json(indent=1) if as_json else summary(result, folder, None))
