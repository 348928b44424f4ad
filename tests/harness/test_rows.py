"""Rows of files: every format gives the same rows, and what is wrong is said with its place."""

from __future__ import annotations

import gzip
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import rows
from harness.errors import DatasetError
from harness.rows import read_rows

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
ROWS = st.lists(st.dictionaries(TEXT, TEXT | st.integers() | st.none() | st.lists(TEXT, max_size=3), max_size=4))


def values(path: Path, **options: Any) -> list[dict[str, object]]:
    return [dict(row.values) for row in read_rows(str(path), **options)]


@given(ROWS)
def test_lines_lists_and_packed_files_give_the_same_rows(tmp_path_factory: pytest.TempPathFactory, wanted: Any) -> None:
    folder = tmp_path_factory.mktemp("rows")
    lines = "".join(json.dumps(row) + "\n" for row in wanted).encode()
    whole = json.dumps(wanted).encode()
    for name, data in (("a.jsonl", lines), ("a.json", whole)):
        (folder / name).write_bytes(data)
        (folder / f"{name}.gz").write_bytes(gzip.compress(data))
        assert values(folder / name) == wanted
        assert values(folder / f"{name}.gz") == wanted


def test_parquet(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    wanted = [{"instance_id": f"a__b-{n}", "PASS_TO_PASS": ["x", "y"][: n % 3]} for n in range(150)]
    parquet.write_table(arrow.Table.from_pylist(wanted), tmp_path / "a.parquet")
    assert values(tmp_path / "a.parquet") == wanted
    (tmp_path / "b.parquet").write_bytes(b"PAR1 no parquet")
    with pytest.raises(DatasetError, match=r"b\.parquet: cannot be read as Parquet"):
        values(tmp_path / "b.parquet")


@given(st.binary(max_size=200))
def test_no_content_is_more_than_a_dataset_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.mktemp("rows")
    for name in ("a.jsonl", "a.json", "a.jsonl.gz", "a.parquet"):
        (folder / name).write_bytes(data)
        found: list[object] = []
        with suppress(DatasetError):  # and nothing else
            found = list(values(folder / name))
        assert all(isinstance(row, dict) for row in found)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.jsonl", '{"a": 1}\n\n{"a": }\n', r"a\.jsonl:3: is no JSON"),
        ("a.jsonl", '{"a": 1}\n[2]\n', r"a\.jsonl:2: is no JSON object but list"),
        ("a.jsonl", "[" * 100_000, r"a\.jsonl:1: is no JSON"),
        ("a.json", '{"a": 1}\n{"a": 2}\n', r"a\.json: is no JSON"),
        ("a.json", '{"a": 1}', r"a\.json: is not a list of rows; .*\.jsonl"),
        ("a.json", '[{"a": 1}, 3]', r"a\.json: row 2: is no JSON object"),
        ("a.csv", "a,b", r"an unknown kind of file; its name must end in \.jsonl"),
        ("a.jsonl.gz", "plain", r"a\.jsonl\.gz: cannot be read"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DatasetError, match=said):
        values(tmp_path / name)


def test_sources_that_are_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DatasetError, match="is a folder"):
        values(tmp_path)
    with pytest.raises(DatasetError, match="no such file"):
        values(tmp_path / "missing.jsonl")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatasetError, match="no such file"):
        list(read_rows("sets/missing.jsonl"))


def test_a_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    class Library:
        @staticmethod
        def load_dataset(name: str, split: str) -> list[dict[str, object]]:
            asked.append((name, split))
            if name == "some/thing":
                raise ConnectionError("the hub does not answer\nand more")
            return [{"a": 1}]

    monkeypatch.setattr(rows, "import_module", lambda _: Library)
    assert [(row.where, dict(row.values)) for row in read_rows("org/Set_Lite", split="dev")] == [
        ("org/Set_Lite/dev: row 1", {"a": 1})
    ]
    assert asked == [("org/Set_Lite", "dev")]
    with pytest.raises(DatasetError, match=r"some/thing \(split test\).*does not answer\. Check the name"):
        list(read_rows("some/thing"))


def test_libraries_that_are_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(rows, "import_module", missing)
    (tmp_path / "a.parquet").write_bytes(b"")
    for source in (str(tmp_path / "a.parquet"), "org/set"):
        with pytest.raises(DatasetError, match=r"pip install 'bestpatch\[swebench\]'"):
            list(read_rows(source))


def test_sizes_are_capped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "FILE_CAP", 100)
    monkeypatch.setattr(rows, "ROW_CAP", 50)
    bomb = gzip.compress(b'{"a": "' + b"x" * 10**6)
    for name, data in (("a.jsonl.gz", bomb), ("a.json.gz", bomb), ("a.jsonl", b'{"a": "0123456789"}\n' * 6)):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DatasetError, match=r"is no row|has more than"):
            values(tmp_path / name)


def test_an_object_of_rows_where_that_is_taken(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"x": {"instance_id": "x"}}')
    assert values(tmp_path / "a.json", keyed=True) == [{"instance_id": "x"}]
