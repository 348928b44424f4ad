"""The whole flow: one issue of the example repository, from the folder to the patch.

python examples/solve_one.py [ISSUE]        ISSUE is a name in examples/issues, such as half-hours
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import anyio
from make_repo import make_repo

from harness import Settings, Status, local_task, solve

EXAMPLES = Path(__file__).parent


async def main(name: str) -> int:
    issue = (EXAMPLES / "issues" / f"{name}.md").read_text()
    with tempfile.TemporaryDirectory() as folder:
        repository = make_repo(Path(folder, "studio"))

        # Settings come from BESTPATCH_* variables and from here; all of them: docs/reference/settings.md.
        settings = Settings(candidates=8, seed=0)

        # The task: the issue, the commit of HEAD as a snapshot, and an environment found in the project's files.
        task = local_task(repository, issue, settings)

        # The way: a model and a sandbox, context, candidates, selection. The same `out` goes on where it stopped.
        result = await solve(task, settings, out=Path("bestpatch-runs", f"example-{name}"))

    if result.status is not Status.SELECTED:
        print(result.status.value, result.error.message if result.error else "")
        return 1
    print(f"{result.winner} of {len(result.candidates)} candidates, confidence {result.confidence:.2f}, because")
    for reason in result.reasons:
        print(f"- {reason}")
    print(result.patch)
    return 0


if __name__ == "__main__":
    sys.exit(anyio.run(main, sys.argv[1] if len(sys.argv) > 1 else "half-hours"))
