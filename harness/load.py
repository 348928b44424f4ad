"""Reads the settings from their three places and says clearly what is wrong with which of them.

Precedence, highest first: flags, `BESTPATCH_*` variables (nested by `__`), the file. The file is the one named by
`--config`, else `bestpatch.toml` in the target repository's root.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

from pydantic import BaseModel, ValidationError
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource
from pydantic_settings.exceptions import SettingsError as SourceError

from harness.config import Settings
from harness.errors import SettingsError

FILE_NAME = "bestpatch.toml"
FILE_CAP = 256 * 1024
"""Bytes of a settings file; a longer one is no settings file."""

REPOSITORY_MAY_SET = frozenset(
    {"candidates", "test_turns", "edit_turns", "seed", "budget", "limits", "environment", "selection"}
)
"""What the file inside a target repository may say. The model's place (an endpoint there would be sent the key),
this machine's paths and its sandboxes' number belong to the person who runs bestpatch."""

OTHER_VARIABLES = frozenset({"BESTPATCH_API_KEY", "BESTPATCH_CACHE", "BESTPATCH_VLLM_PYTHON"})
"""Variables of that prefix that are no settings."""

Values = dict[str, object]


def load(
    *, repository: Path | None = None, config: Path | None = None, flags: Mapping[str, object] | None = None
) -> Settings:
    """The settings of a run. `flags` is a nested mapping in the tree's own names.

    Raises SettingsError, which names the key, where it stood, and near matches.
    """
    file, values = _read_file(repository, config)
    _refuse_unknown_variables()
    _refuse_unknown(values, str(file))
    given = dict(flags or {})
    _refuse_unknown(given, "the flags")

    class Loaded(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return init_settings, env_settings, InitSettingsSource(settings_cls, init_kwargs=values)

    try:
        loaded = Loaded(**given)  # pyright: ignore[reportArgumentType]
    except ValidationError as error:
        raise SettingsError(_explain(error, given, values, str(file))) from None
    except SourceError as error:
        # A list or table in a variable that is not JSON: the library's message names the field.
        raise SettingsError(f"{error}; lists and tables in variables are written as JSON, such as '[\"a\"]'") from None
    # As the tree's own class, which another process knows too.
    return Settings.model_construct(
        loaded.model_fields_set, **{name: getattr(loaded, name) for name in Settings.model_fields}
    )


def keys(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[str]:
    """All keys of the tree, dotted, sections included."""
    for name, field in model.model_fields.items():
        yield prefix + name
        section = section_of(field.annotation)
        if section is not None:
            yield from keys(section, f"{prefix}{name}.")


def section_of(annotation: object) -> type[BaseModel] | None:
    """The section that a field's annotation names, if it names one."""
    for part in (annotation, *getattr(annotation, "__args__", ())):
        if isinstance(part, type) and issubclass(part, BaseModel):
            return part
    return None


def _read_file(repository: Path | None, config: Path | None) -> tuple[Path, Values]:
    if config is not None:
        if not config.is_file():
            raise SettingsError(f"{config}: no such settings file; check --config")
        return config, _parse(config)
    path = (repository or Path()) / FILE_NAME
    if repository is None or path.is_symlink() or not path.is_file():
        # A link could lead anywhere on this host, and the repository is not trusted with that.
        return path, {}
    values = _parse(path)
    for key in values:
        if key not in REPOSITORY_MAY_SET and key in Settings.model_fields:
            raise SettingsError(
                f"{path}: {key!r} may not be set by a repository's own file, because it decides about this host; "
                f"pass it as a flag, as BESTPATCH_{key.upper()}, or in a file given with --config"
            )
    return path, values


def _parse(path: Path) -> Values:
    try:
        data = path.read_bytes()
        if len(data) > FILE_CAP:
            raise SettingsError(f"{path}: {len(data)} bytes is too long for a settings file (at most {FILE_CAP})")
        return cast(Values, tomllib.loads(data.decode("utf-8")))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: is not TOML: {error}") from None


def _refuse_unknown(
    values: Mapping[str, object], where: str, model: type[BaseModel] = Settings, prefix: str = ""
) -> None:
    for key, value in values.items():
        field = model.model_fields.get(key)
        if field is None:
            raise SettingsError(f"{where}: unknown setting {prefix + key!r}{_near(prefix + key)}")
        section = section_of(field.annotation)
        if section is not None and isinstance(value, Mapping):
            _refuse_unknown(cast("Mapping[str, object]", value), where, section, f"{prefix}{key}.")


def _refuse_unknown_variables() -> None:
    known = set(keys())
    free = tuple(key + "." for key in known if key == "environment.env")
    for variable in sorted(os.environ):
        if not variable.startswith("BESTPATCH_") or variable in OTHER_VARIABLES:
            continue
        key = variable.removeprefix("BESTPATCH_").lower().replace("__", ".")
        if key not in known and not key.startswith(free):
            raise SettingsError(
                f"the environment variable {variable}: unknown setting {key!r}{_near(key, variable=True)}"
            )


def _near(key: str, *, variable: bool = False) -> str:
    """`; did you mean ...?`, or where all settings are described."""
    everything = list(keys())
    known = [name for name in everything if not any(other.startswith(name + ".") for other in everything)]
    last = {name.rpartition(".")[2]: name for name in known}
    tail = key.rpartition(".")[2]
    matches = difflib.get_close_matches(key, known, n=2, cutoff=0.6)
    matches += [last[name] for name in difflib.get_close_matches(tail, list(last), n=2, cutoff=0.75)]
    names = list(dict.fromkeys(matches))[:3]
    if variable:
        names = ["BESTPATCH_" + name.upper().replace(".", "__") for name in names]
    if names:
        return f"; did you mean {' or '.join(names)}?"
    return "; docs/reference/settings.md lists all settings"


def _explain(error: ValidationError, flags: Values, values: Values, file: str) -> str:
    lines: list[str] = []
    for item in error.errors(include_url=False, include_input=False):
        path = [str(part) for part in item["loc"]]
        if _holds(flags, path):
            where = "the flags"
        elif _holds(values, path) and not any(
            v.upper().startswith("BESTPATCH_" + "__".join(path).upper()) for v in os.environ
        ):
            where = file
        else:
            where = "BESTPATCH_" + "__".join(path).upper()
        message = item["msg"].removeprefix("Value error, ")
        lines.append(f"{where}: {'.'.join(path) or 'settings'}: {message[:1].lower() + message[1:]}")
    return "\n".join(lines)


def _holds(values: Mapping[str, object], path: list[str]) -> bool:
    inner = cast(object, values)
    for part in path:
        if not isinstance(inner, Mapping):
            return True
        if part not in inner:
            return False
        inner = cast("Mapping[object, object]", inner)[part]
    return True
