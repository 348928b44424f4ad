"""How often the product solves small bugs from a JSONL file, each a repository of one or a few files.

python benchmarks/small_bugs.py small_bugs.jsonl --split tuning --count 10 --candidates 8

A line has `instance_id`, `problem_statement`, `files` (path -> text: the repository), `hidden_test_files` (the same:
they decide, and are never shown) and `split`. Without hidden files the instance is skipped.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from solving import Item, arguments, folder_of, measure, start  # isort: skip - puts the examples' folder on the path
from make_repo import make_repo

from harness.config import EnvironmentSettings

INSTALL = ("python -m pip install pytest",)
"""The hidden tests need it, and such a repository does not ask for it."""


def item(row: Mapping[str, Any], folder: Path) -> Item:
    """The instance as a git repository in the folder. Raises ValueError for a path that leaves it."""
    name = str(row["instance_id"]).replace("/", "-")
    repository = folder / name
    shutil.rmtree(repository, ignore_errors=True)
    with tempfile.TemporaryDirectory() as source:
        for path, text in row["files"].items():
            file = Path(source, path)
            if not file.resolve().is_relative_to(Path(source).resolve()):
                raise ValueError(f"{name}: {path} leaves the repository")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, "utf-8")
        make_repo(repository, Path(source))
    tests = {Path(path).name: text.encode() for path, text in row["hidden_test_files"].items()}
    return Item(name, repository, row["problem_statement"], tests)


async def main() -> None:
    parser = arguments((__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--split", default="tuning")
    parser.add_argument("--count", type=int, default=10, help="the first so many of the split")
    parser.add_argument("--only", default="", help="instance ids with commas between")
    options = parser.parse_args()
    try:
        rows = [json.loads(line) for line in options.file.read_text("utf-8").splitlines() if line.strip()]
        rows = [row for row in rows if row["split"] == options.split and row["hidden_test_files"]]
        if options.only:
            rows = [row for row in rows if row["instance_id"] in options.only.split(",")]
        folder = folder_of("small_bugs", options)
        chosen = [item(row, folder / "repositories") for row in rows[: options.count]]
    except (OSError, ValueError, KeyError) as problem:
        sys.exit(f"small_bugs: {type(problem).__name__}: {problem}")
    await measure(folder, chosen, options, EnvironmentSettings(install=INSTALL))


if __name__ == "__main__":
    start(main)
