"""How often the product solves the example's issues.

python benchmarks/examples.py --issues all --seeds 0-4 --candidates 8

Rows and run directories go to the cache folder (`--folder`); what is there already is not run again.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from solving import Item, arguments, folder_of, measure, start  # isort: skip - puts the examples' folder on the path
from check import ISSUES, hidden_tests
from make_repo import make_repo


def items(wanted: str, folder: Path) -> list[Item]:
    """The example's issues by name, `all` for each; the repository is made anew. Raises ValueError."""
    names = sorted(file.stem for file in ISSUES.glob("*.md"))
    chosen = names if wanted == "all" else wanted.split(",")
    unknown = [name for name in chosen if name not in names]
    if unknown:
        raise ValueError(f"no issue {', '.join(unknown)}; there are {', '.join(names)}")
    shutil.rmtree(folder, ignore_errors=True)
    repository = make_repo(folder)
    return [Item(name, repository, (ISSUES / f"{name}.md").read_text("utf-8"), hidden_tests(name)) for name in chosen]


async def main() -> None:
    parser = arguments((__doc__ or "").splitlines()[0])
    parser.add_argument("--issues", default="all", help="names with commas between, or all")
    options = parser.parse_args()
    try:
        folder = folder_of("examples", options)
        chosen = items(options.issues, folder / "studio")
    except ValueError as problem:
        sys.exit(f"examples: {problem}")
    await measure(folder, chosen, options)


if __name__ == "__main__":
    start(main)
