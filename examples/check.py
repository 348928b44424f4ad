"""Says whether a run solved its example issue: `python examples/check.py RUN_DIR`.

The run's patch.diff is applied to a fresh copy of the example, and the issue's hidden tests run on it. Patched code
was written by a model, so that happens in a sandbox, as everything does. Exit code 0 solved, 1 not solved, 2 wrong
use, 4 the check itself could not be made.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import anyio
from make_repo import make_repo

from harness.result import Result
from harness.tasks import local_task
from sandbox.base import Ended, Limits, Patch, Sandbox
from sandbox.docker import DockerBackend
from sandbox.errors import PatchRejected, SandboxError

ISSUES = Path(__file__).parent / "issues"
HIDDEN_TESTS = Path(__file__).parent / "hidden_tests"
FOLDER = "/tmp/bestpatch-hidden"

# The tests lie outside the repository and come first on the path, so a patch cannot put itself in pytest's place. The
# mark at the end shows that pytest itself came to its end: patched code that calls `os._exit(0)` prints none.
RUNNER = f"""\
import sys
sys.path[0] = {FOLDER!r}
sys.path += [sys.argv[1], sys.argv[1] + "/src"]
import pytest
code = pytest.main(["-q", "-x", "--noconftest", "-p", "no:cacheprovider", "-c", "/dev/null",
                    "--rootdir", {FOLDER!r}, *sys.argv[3:]])
print(sys.argv[2] if code == 0 else "")
sys.exit(int(code))
"""


@dataclass(frozen=True)
class Checked:
    """What the hidden tests said of one patch, and the end of what they printed."""

    passed: bool
    output: str


async def check(sandbox: Sandbox, patch: Patch, tests: Mapping[str, bytes], seconds: float = 60.0) -> Checked:
    """Run hidden tests (file name -> content) on the tree with the patch, in a workspace of its own.

    A patch that does not apply has not passed. Raises SandboxLost, SandboxTimeout, DiskFull.
    """
    mark = secrets.token_hex(16)
    names = [f"{FOLDER}/{name}" for name in sorted(tests)]
    try:
        async with sandbox.workspace(patch) as workspace:
            await workspace.write(f"{FOLDER}/run_hidden.py", RUNNER.encode())
            for name, content in tests.items():
                await workspace.write(f"{FOLDER}/{name}", content)
            done = await workspace.run(
                [sandbox.python, f"{FOLDER}/run_hidden.py", workspace.repository, mark, *names],
                cwd=FOLDER,
                limits=Limits(seconds=seconds),
            )
    except PatchRejected as rejected:
        return Checked(False, str(rejected))
    passed = done.ended is Ended.EXITED and done.exit_code == 0 and mark in done.output
    return Checked(passed, done.output.replace(mark, "").strip())


def hidden_tests(issue: str) -> dict[str, bytes]:
    """The hidden tests of an example issue, by its name such as `busy-hours`."""
    file = HIDDEN_TESTS / f"test_{issue.replace('-', '_')}.py"
    return {file.name: file.read_bytes()}


def issue_name(text: str) -> str | None:
    """Which example issue a text is."""
    return next((file.stem for file in sorted(ISSUES.glob("*.md")) if file.read_text().strip() == text.strip()), None)


async def check_run(run: Path) -> Checked:
    """Check the patch of a run directory. Raises ValueError when it is no run on an example issue."""
    result = Result.model_validate_json((run / "result.json").read_text("utf-8"))
    name = issue_name(result.task.issue)
    if name is None:
        raise ValueError(f"{run} is not a run on one of the issues in {ISSUES}")
    patch = Patch((run / "patch.diff").read_text("utf-8")) if (run / "patch.diff").is_file() else Patch("")
    if not patch:
        return Checked(False, f"the run has no patch; it ended as {result.status}")
    with tempfile.TemporaryDirectory() as folder:
        task = local_task(make_repo(Path(folder, "studio")), result.task.issue)
        backend = DockerBackend()
        try:
            sandbox = await backend.open(task.environment, task.snapshot, run_id="check")
            return await check(sandbox, patch, hidden_tests(name))
        finally:
            await backend.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path, help="the --out folder of `bestpatch solve`")
    try:
        checked = anyio.run(check_run, parser.parse_args().run)
    except SandboxError as problem:
        print(f"check: {problem}", file=sys.stderr)
        return 4
    except (OSError, ValueError) as problem:
        print(f"check: {problem}", file=sys.stderr)
        return 2
    print("solved: the hidden tests pass" if checked.passed else f"{checked.output}\n\nnot solved")
    return 0 if checked.passed else 1


if __name__ == "__main__":
    sys.exit(main())
