"""How to run a repository's own tests, and how to read what they said, test by test."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from xml.parsers import expat

from agent.task import Task
from sandbox.base import Execution, Limits, RepoPath, Sandbox, Tree, Workspace
from sandbox.errors import WorkspaceError
from sandbox.script import module_command

PLACE = "{tests}"
"""Where a shell command takes test files; without any it runs all tests."""

WHOLE_RUN = "the whole run"
"""Stands for all tests where the command's exit code is all that can be read."""

_TEST_DIRS = frozenset({"test", "tests", "testing"})
_PYTEST_FILES = ("pytest.ini", ".pytest.ini", "conftest.py")
_XML = "/tmp/bestpatch-regression.xml"  # noqa: S108  a path inside the workspace, outside the repository's tree
_CONTINUE = ("--continue-on-collection-errors",)
"""One file that cannot be imported, often for want of an optional package, must not hide what the others say."""
_UNITTEST_LINE = re.compile(r"^(\w+ \([\w.]+\)).* \.\.\. (ok|FAIL|ERROR|skipped|expected failure|unexpected success)")
_SHORT_LINE = re.compile(r"^(test_\w+) (ok|F|E|s|f|X)$")
"""Of runners that print a letter for each test, such as sympy's: passed, failed, broken, skipped, expected to fail."""


class _Refused(ValueError):
    """The XML holds a declaration that no test report needs."""


@dataclass(frozen=True)
class TestCommand:
    """A way to run the repository's tests. `kind` says how its results are read."""

    __test__ = False  # pytest: not a test class

    argv: tuple[str, ...]
    shown: str
    kind: str
    """`pytest`: a JUnit report; `unittest`: the lines of -v; `shell`: whichever of these there is, else the exit."""
    template: str = ""
    """Of a shell command that takes test files: with `{tests}` in their place."""


@dataclass(frozen=True)
class TestRun:
    """One run of the tests: the outcome of each by name (True: passed); None when they did not end in time."""

    __test__ = False

    passed: Mapping[str, bool] | None
    seconds: float
    agrees: bool = True
    """Whether the exit code was 0 exactly when every test passed."""


def is_test_file(path: str) -> bool:
    """Whether a path is a test by the usual names: a tests folder, test_*.py, *_test.py, conftest.py."""
    parts = PurePosixPath(path)
    return (
        parts.name == "conftest.py"
        or (parts.suffix == ".py" and (parts.name.startswith("test_") or parts.stem.endswith("_test")))
        or parts.name in ("tests.py", "test.py")
        or any(part in _TEST_DIRS for part in parts.parts[:-1])
    )


async def find_command(task: Task, tree: Tree, sandbox: Sandbox, workspace: Workspace) -> TestCommand | str:
    """The task's own command, or pytest or unittest as the tree suggests; otherwise a sentence why there is none."""
    if task.test_command:
        return _shell(task.test_command, ())
    tests = [path for path in tree if path.endswith(".py") and is_test_file(path)]
    if not tests and not _configures_pytest(tree):
        return "The repository has no tests that could be found."
    asked = await workspace.run([sandbox.python, "-m", "pytest", "--version"], limits=Limits(seconds=30.0))
    if asked.exit_code == 0:
        options = ("-q", "-p", "no:cacheprovider", *_CONTINUE, f"--junitxml={_XML}")
        return TestCommand(tuple(module_command(sandbox.python, "pytest", *options)), "python -m pytest -q", "pytest")
    if any(b"unittest" in tree[path] for path in tests):
        start = next((d for d in ("tests", "test") if f"{d}/__init__.py" in tree), None)
        options = ("discover", "-v", *(("-s", start, "-t", ".") if start else ()))
        argv = module_command(sandbox.python, "unittest", *options)
        return TestCommand(tuple(argv), " ".join(("python -m unittest", *options)), "unittest")
    return "The repository's tests need pytest, which its environment does not have."


def narrowed(command: TestCommand, files: Sequence[RepoPath]) -> TestCommand | None:
    """The same command for some test files only; None where the command does not take files."""
    if command.template and files:
        return _shell(command.template, files)
    if command.kind != "pytest" or not files:
        return None
    return TestCommand((*command.argv, "--", *files), f"{command.shown} {' '.join(files)}", command.kind)


def _shell(template: str, files: Sequence[RepoPath]) -> TestCommand:
    text = template.replace(PLACE, shlex.join(files)).strip()
    return TestCommand(("sh", "-c", text), text, "shell", template if PLACE in template else "")


async def run_tests(command: TestCommand, workspace: Workspace, seconds: float) -> TestRun:
    """Run the tests and read what they said. Raises SandboxLost, SandboxTimeout."""
    env = (
        {"PYTEST_ADDOPTS": f"-p no:cacheprovider {' '.join(_CONTINUE)} --junitxml={_XML}"}
        if command.kind == "shell"
        else None
    )
    # Verbose unittest output is the report itself: it must not lose its middle.
    limits = Limits(seconds=seconds, output_bytes=8 * 1024 * 1024)
    execution = await workspace.run(command.argv, env=env, limits=limits)
    if execution.exit_code is None:
        return TestRun(None, execution.seconds)
    passed = await _outcomes(command, workspace, execution)
    return TestRun(passed, execution.seconds, (execution.exit_code == 0) == all(passed.values()))


async def _outcomes(command: TestCommand, workspace: Workspace, execution: Execution) -> Mapping[str, bool]:
    if command.kind != "unittest":
        try:
            if found := read_junit(await workspace.read(_XML)):
                return found
        except (WorkspaceError, ValueError):
            pass  # no report, or none that can be read: the output or the exit code is left
    if command.kind != "pytest" and (found := read_unittest(execution.output)):
        return found
    return {WHOLE_RUN: execution.exit_code == 0}


def read_junit(data: bytes) -> dict[str, bool]:
    """Test name -> whether it passed, skipped tests left out. Raises ValueError when it is no such report.

    A name that occurs twice passed when both passed. Declarations (entities) are refused: candidates may write here.
    """
    outcomes: dict[str, bool] = {}
    current: list[str] = []
    bad: list[str] = []

    def start(tag: str, attributes: Mapping[str, str]) -> None:
        if tag == "testcase":
            current[:] = [f"{attributes.get('classname', '')}::{attributes.get('name', '')}"]
            bad.clear()
        elif tag in ("failure", "error", "skipped"):
            bad.append(tag)

    def end(tag: str) -> None:
        if tag == "testcase" and current:
            if "skipped" not in bad or "failure" in bad or "error" in bad:
                outcomes[current[0]] = outcomes.get(current[0], True) and not bad
            current.clear()

    def refuse(*_: object) -> None:
        raise _Refused

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, _Refused) as error:
        raise ValueError("not a JUnit report") from error
    return outcomes


def read_unittest(output: str) -> dict[str, bool]:
    """Test name -> whether it passed, from the lines of `unittest -v` or such, skipped tests left out.

    A name that occurs twice passed when both passed.
    """
    outcomes: dict[str, bool] = {}
    name = ""
    for line in output.splitlines():
        if found := _UNITTEST_LINE.match(line):
            name, end = found[1], found[2]
        elif head := re.match(r"^(\w+ \([\w.]+\))$", line):
            name = head[1]  # a test with a docstring: its first line and the outcome follow on the next line
            continue
        elif short := _SHORT_LINE.match(line):
            name, end = short[1], {"s": "skipped", "f": "expected failure"}.get(short[2], short[2])
        elif name and (tail := re.search(r" \.\.\. (ok|FAIL|ERROR|skipped)", line)):
            end = tail[1]
        else:
            continue
        if end != "skipped":
            outcomes[name] = outcomes.get(name, True) and end in ("ok", "expected failure")
        name = ""
    return outcomes


def _configures_pytest(tree: Tree) -> bool:
    return any(path in tree for path in _PYTEST_FILES) or any(
        b"[tool:pytest]" in tree.get(RepoPath(path), b"") or b"[tool.pytest" in tree.get(RepoPath(path), b"")
        for path in ("setup.cfg", "tox.ini", "pyproject.toml")
    )
