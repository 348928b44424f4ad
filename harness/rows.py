"""Rows of data set files: JSONL, a JSON list, Parquet, each also as .gz, or a data set of a hub by its name.

Files come from outside: sizes are capped, and what cannot be read is said with the file and the line.
"""

from __future__ import annotations

import gzip
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import IO, Any, TypeVar, cast

from pydantic import BaseModel, ValidationError

from harness.errors import DatasetError

FILE_CAP = 2 * 1024**3
"""Bytes of a file, unpacked. All of SWE-bench's training split has some 400 MB."""

ROW_CAP = 64 * 1024**2
"""Bytes of a line. The largest published rows have a few MB."""

Record = TypeVar("Record", bound=BaseModel)

_SUFFIXES = (".jsonl", ".ndjson", ".json", ".parquet")
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class Row:
    """A row and the place where it stands, such as `set.jsonl:12`."""

    where: str
    values: Mapping[str, object]

    def read_as(self, kind: type[Record], **more: object) -> Record:
        """The row as a record; `more` stands in for what it lacks. Raises DatasetError, which says what and where."""
        try:
            return kind.model_validate({**more, **self.values})
        except ValidationError as error:
            part = error.errors(include_url=False, include_input=False, include_context=False)[0]
            raise DatasetError(f"{self.where}: {'.'.join(map(str, part['loc']))}: {part['msg']}") from None


def read_rows(source: str, *, split: str = "test", keyed: bool = False) -> Iterator[Row]:
    """The rows of a file, or of a hub's data set where no such file exists. `keyed` takes a JSON object of rows, too.

    Raises DatasetError, for a broken line when that line is reached.
    """
    path = Path(source).expanduser()
    if path.is_file():
        yield from _file_rows(path, keyed)
    elif path.is_dir():
        raise DatasetError(f"{source}: is a folder; name the file with the rows ({', '.join(_SUFFIXES)}, also .gz)")
    elif _HUB_NAME.fullmatch(source) and not source.endswith((*_SUFFIXES, ".gz")):
        yield from _hub_rows(source, split)
    else:
        raise DatasetError(f"{source}: no such file; name a file ({', '.join(_SUFFIXES)}, also .gz) or OWNER/DATASET")


def _file_rows(path: Path, keyed: bool) -> Iterator[Row]:
    plain = path.with_suffix("") if path.suffix == ".gz" else path
    try:
        with _opened(path) as file:
            if plain.suffix == ".parquet":
                yield from _parquet_rows(path, file)
            elif plain.suffix == ".json":
                yield from _json_rows(path, file, keyed)
            elif plain.suffix in _SUFFIXES:
                yield from _lines(path, file)
            else:
                raise DatasetError(f"{path}: an unknown kind of file; its name must end in {', '.join(_SUFFIXES)}")
    except (OSError, EOFError) as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(f"{path}: cannot be read: {error}") from None


def _opened(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def _lines(path: Path, file: IO[bytes]) -> Iterator[Row]:
    number, size = 0, 0
    while line := file.readline(ROW_CAP + 1):
        number += 1
        size += len(line)
        where = f"{path}:{number}"
        if len(line) > ROW_CAP:
            raise DatasetError(f"{where}: a line of more than {ROW_CAP // 1024**2} MB is no row")
        _capped(path, size)
        if line.strip():
            yield Row(where, _object(_parsed(line, where), where))


def _json_rows(path: Path, file: IO[bytes], keyed: bool) -> Iterator[Row]:
    whole = _parsed(_whole(path, file), str(path))
    if keyed and isinstance(whole, dict):
        # SWE-agent's form: instance id -> prediction.
        whole = list(cast("dict[str, object]", whole).values())
    if not isinstance(whole, list):
        raise DatasetError(f"{path}: is not a list of rows; one row a line belongs in a file named .jsonl")
    for number, value in enumerate(cast("list[object]", whole), 1):
        where = f"{path}: row {number}"
        yield Row(where, _object(value, where))


def _parquet_rows(path: Path, file: IO[bytes]) -> Iterator[Row]:
    try:
        arrow: Any = import_module("pyarrow")
        parquet: Any = import_module("pyarrow.parquet")
    except ImportError:
        raise DatasetError(f"{path}: Parquet files need pyarrow: pip install 'bestpatch[swebench]'") from None
    number = 0
    try:
        for batch in parquet.ParquetFile(io.BytesIO(_whole(path, file))).iter_batches(batch_size=64):
            for values in batch.to_pylist():
                number += 1
                yield Row(f"{path}: row {number}", values)
    except arrow.ArrowException as error:
        raise DatasetError(f"{path}: cannot be read as Parquet: {error}") from None


def _hub_rows(name: str, split: str) -> Iterator[Row]:
    try:
        library: Any = import_module("datasets")
    except ImportError:
        raise DatasetError(
            f"{name}: no such file, and a hub's data sets need the package datasets: pip install 'bestpatch[swebench]'"
        ) from None
    try:
        rows = library.load_dataset(name, split=split)
    except Exception as error:  # the library raises whatever its transports raise
        first = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
        raise DatasetError(
            f"{name} (split {split}): cannot be loaded from the hub: {first}. "
            "Check the name and the split, or save the rows as JSONL or Parquet and name that file"
        ) from None
    for number, values in enumerate(rows, 1):
        yield Row(f"{name}/{split}: row {number}", values)


def _whole(path: Path, file: IO[bytes]) -> bytes:
    data = file.read(FILE_CAP + 1)
    _capped(path, len(data))
    return data


def _capped(path: Path, size: int) -> None:
    if size > FILE_CAP:
        raise DatasetError(f"{path}: has more than {FILE_CAP // 1024**3} GB; split it")


def _parsed(data: bytes, where: str) -> object:
    try:
        return cast(object, json.loads(data))
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{where}: is no JSON: {error}") from None


def _object(value: object, where: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise DatasetError(f"{where}: is no JSON object but {type(value).__name__}")
    return cast("Mapping[str, object]", value)
