"""Writes docs/reference from the code: `python docs/generate.py`; `--check` only says whether it is up to date.

The command line comes from the commands' own help, settings and `result.json` from their pydantic models.
"""

from __future__ import annotations

import json
import re
import sys
import types
from enum import Enum
from pathlib import Path
from typing import Any, Union, get_args, get_origin

import typer.main
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from harness.cli import app
from harness.config import Settings
from harness.load import REPOSITORY_MAY_SET, section_of
from harness.result import SCHEMA_VERSION, Result
from selection.pool import PoolTask
from selection.study import StudyRecord

REFERENCE = Path(__file__).parent / "reference"
_NOTE = "<!-- Written by docs/generate.py from the code; change that. -->\n\n"

_SETTINGS = """# Settings

From the weakest to the strongest: a file, variables, flags. The file is the one that `--config` names, else
`bestpatch.toml` in the target repository's root. A variable is `BESTPATCH_` and the key, a section and its key
joined by two underscores: `BESTPATCH_SELECTION__SHORTLIST=5`; lists and tables are written as JSON.
An unknown key is an error.

The file inside a target repository is not trusted as you are. It may set only
{may_set}:
where the model is, what this host may be used for, and where files go is said by flags, variables, or a file
given with `--config`.

Numbers of tokens may be written as `200k`, sizes as `512m` or `4g`, times as `90s` or `1h30m`.

Keys and tokens are no settings. `BESTPATCH_API_KEY` holds the model server's key, `BESTPATCH_CACHE` the cache
folder, `BESTPATCH_VLLM_PYTHON` a Python that has vLLM.

"""


def pages() -> dict[str, str]:
    """File name -> content."""
    schemas = {
        f"{name}.schema.json": json.dumps(model.model_json_schema(), indent=1, sort_keys=True) + "\n"
        for name, model in (("result", Result), ("pool", PoolTask), ("study", StudyRecord))
    }
    return {"cli.md": cli(), "settings.md": settings(), "result.md": result(), **schemas}


def cli() -> str:
    """The help of every command, as a terminal shows it."""
    group: Any = typer.main.get_command(app)
    parts = [_NOTE, "# Command line\n\n", _help(group, None)]
    for name in group.commands:
        parts.append(f"## bestpatch {name}\n\n{_help(group.commands[name], name)}")
    return "".join(parts).rstrip() + "\n"


def _help(command: Any, name: str | None) -> str:
    path = "bestpatch" if name is None else f"bestpatch {name}"
    context = command.make_context(path, [], resilient_parsing=True, terminal_width=100, max_content_width=100)
    return f"```text\n{command.get_help(context).strip()}\n```\n\n"


def settings() -> str:
    lines = [
        _NOTE,
        _SETTINGS.format(may_set=", ".join(f"`{name}`" for name in sorted(REPOSITORY_MAY_SET))),
        _table(Settings, ""),
    ]
    for name, field in Settings.model_fields.items():
        section = section_of(field.annotation)
        if section is not None:
            lines.append(f"\n## [{name}]\n\n{section.__doc__}\n\n{_table(section, name)}")
            for inner, inner_field in section.model_fields.items():
                deeper = section_of(inner_field.annotation)
                if deeper is not None:
                    lines.append(f"\n### [{name}.{inner}]\n\n{deeper.__doc__}\n\n{_table(deeper, f'{name}.{inner}')}")
    return "".join(lines)


def _table(model: type[BaseModel], prefix: str) -> str:
    rows = ["| key | kind | default | |\n", "| --- | --- | --- | --- |\n"]
    for name, field in model.model_fields.items():
        if section_of(field.annotation) is not None:
            continue  # it has a table of its own
        default = "" if field.is_required() else _default(f"{prefix}.{name}".lstrip("."), field)
        kind = kind_of(field.annotation).replace("|", "\\|")
        rows.append(f"| `{name}` | {kind} | {default} | {(field.description or '').replace('|', chr(92) + '|')} |\n")
    return "".join(rows)


_MACHINES_OWN = {
    "sandbox.parallel": "processors, at least 2",
    "sandbox.builds": "a quarter of the processors, at least 2",
    "paths.cache": "the user's cache folder",
}


def _default(key: str, field: Any) -> str:
    if key in _MACHINES_OWN:
        return _MACHINES_OWN[key]
    value = field.get_default(call_default_factory=True)
    return "" if value is None or value is PydanticUndefined or value == {} else f"`{json.dumps(value)}`"


def result() -> str:
    """The fields of `result.json`, model by model, with the docstrings below fields as their meaning."""
    lines = [
        _NOTE,
        "# result.json\n\n",
        f"Schema version {SCHEMA_VERSION}; as JSON schema: [result.schema.json](result.schema.json).\n",
        "A reader may rely on every field here. A change of meaning or shape raises the version.\n",
    ]
    for model in _models(Result):
        lines.append(f"\n## {model.__name__}\n\n{_doc(model)}")
        lines.append("| field | kind | |\n| --- | --- | --- |\n")
        notes = _notes(model)
        for name, field in model.model_fields.items():
            lines.append(
                f"| `{name}` | {kind_of(field.annotation).replace('|', chr(92) + '|')} | {notes.get(name, '')} |\n"
            )
    return "".join(lines)


def _doc(model: type[BaseModel]) -> str:
    text = (model.__doc__ or "").strip()
    return f"{text}\n\n" if text and not text.startswith("!!!") else ""


def _models(model: type[BaseModel], seen: list[type[BaseModel]] | None = None) -> list[type[BaseModel]]:
    seen = [] if seen is None else seen
    if model not in seen:
        seen.append(model)
        for field in model.model_fields.values():
            for part in _parts(field.annotation):
                if isinstance(part, type) and issubclass(part, BaseModel):
                    _models(part, seen)
    return seen


def _parts(annotation: object) -> list[object]:
    return [annotation, *(deeper for part in get_args(annotation) for deeper in _parts(part))]


def _notes(model: type[BaseModel]) -> dict[str, str]:
    """Docstrings below fields; pydantic keeps them only on request, so they are read from the source."""
    import inspect

    found = re.findall(r'\n    (\w+): [^\n]+\n    """(.*?)"""', inspect.getsource(model), re.DOTALL)
    return {name: " ".join(text.split()).replace("|", "\\|") for name, text in found}


def kind_of(annotation: Any) -> str:
    """A type as a reader of JSON or TOML would call it."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return " or ".join(kind_of(part) for part in args if part is not type(None)) + (
            " or null" if type(None) in args else ""
        )
    if origin is tuple:
        return f"list of {kind_of(args[0])}"
    if origin is dict:
        return f"table of {kind_of(args[1])}"
    if origin is not None and str(origin) == "typing.Literal":
        return " or ".join(f"`{json.dumps(part)}`" for part in args)
    if hasattr(annotation, "__metadata__"):
        return kind_of(args[0])
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return " or ".join(f"`{json.dumps(part.value)}`" for part in annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    return {str: "text", int: "integer", float: "number", bool: "true or false", Path: "path", object: "any"}.get(
        annotation, str(annotation)
    )


def main() -> int:
    stale = [name for name, text in pages().items() if _read(REFERENCE / name) != text]
    if "--check" in sys.argv[1:]:
        for name in stale:
            print(f"docs/reference/{name} is out of date; run python docs/generate.py")  # noqa: T201
        return 1 if stale else 0
    REFERENCE.mkdir(exist_ok=True)
    for name, text in pages().items():
        (REFERENCE / name).write_text(text, encoding="utf-8")
    return 0


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


if __name__ == "__main__":
    sys.exit(main())
