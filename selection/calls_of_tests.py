"""Which of the repository's tests call what the patches change: measured in one run on the unedited tree.

A test that calls none of it cannot tell a candidate from the unedited tree, so it need not run on candidates. The run
that finds out carries a pytest plugin (`inside/record_tests.py`), and what passes and fails in it counts for nothing:
the baseline is made of runs without it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

from sandbox.base import UNEDITED, RepoPath, Sandbox, Tree
from sandbox.errors import WorkspaceError
from selection import inside
from selection.execute import retried
from selection.repository_tests import TestCommand, narrowed, run_tests
from selection.touched import Lines

FOLDER = "/tmp/bestpatch-calls"  # noqa: S108 - inside the sandbox, where nobody else is
PLUGIN = "bestpatch_record_tests"
CALLS = f"{FOLDER}/calls.jsonl"

FEWEST = 3
"""Tests that have to call what the patches change before the others are left out."""
MOST = 50
"""Tests that run on candidates where it is known what they call. Starting pytest takes as long as some twenty tests."""

_PREPARED = (
    f'export PYTHONPATH="{FOLDER}${{PYTHONPATH:+:$PYTHONPATH}}" PYTEST_ADDOPTS="-p {PLUGIN} $PYTEST_ADDOPTS"; exec "$@"'
)
"""The image's own variables stay in effect."""


@dataclass(frozen=True)
class Calling:
    """A test that passes on the unedited tree and calls some of the functions; one with parameters is one test."""

    path: RepoPath
    name: str
    """Below the path, as pytest writes it: `Class::test`."""
    functions: frozenset[int]
    seconds: float

    @property
    def id(self) -> str:
        return f"{self.path}::{self.name}"


async def tests_that_call(
    functions: Sequence[Lines], command: TestCommand, tree: Tree, sandbox: Sandbox, seconds: float
) -> tuple[Calling, ...]:
    """The tests that call any of the functions, found with one run of the command on the unedited tree.

    () where nothing is known: the run does not end in time or does not use pytest, or a function is called while
    modules load, and so concerns tests that do not call it. Raises SandboxLost, SandboxTimeout.
    """

    async def once() -> bytes:
        async with sandbox.workspace(UNEDITED) as workspace:
            wanted = json.dumps([workspace.repository, [[f.path, f.first, f.last] for f in functions]])
            await workspace.write(f"{FOLDER}/{PLUGIN}.py", inside.source("record_tests.py").encode())
            await workspace.write(f"{FOLDER}/wanted.json", wanted.encode())
            prepared = replace(command, argv=("sh", "-c", _PREPARED, "sh", *command.argv))
            if (await run_tests(prepared, workspace, seconds)).passed is None:
                return b""
            return await workspace.read(CALLS)

    try:
        return read_calls(await retried(once), tree, len(functions))
    except WorkspaceError:
        return ()


def read_calls(data: bytes, tree: Tree, count: int) -> tuple[Calling, ...]:
    """What the plugin told of `count` functions; those of files of the tree. () where it is no such report."""
    found: dict[str, Calling] = {}
    for line in data.decode("utf-8", "replace").splitlines():
        try:
            told = cast("list[object]", json.loads(line))
        except (ValueError, RecursionError):
            return ()
        match told:
            case [str(path), str(name), numbers, float(seconds)]:
                calls = _numbers(numbers, count)
                test = Calling(RepoPath(path), name, calls, seconds)
                if test.path not in tree or not path.endswith(".py") or not name or not calls:
                    continue
                if same := found.get(test.id):
                    test = replace(test, functions=calls | same.functions, seconds=seconds + same.seconds)
                found[test.id] = test
            case _:
                return ()
    return tuple(found.values())


def _numbers(value: object, count: int) -> frozenset[int]:
    numbers = cast("list[object]", value) if isinstance(value, list) else []
    return frozenset(number for number in numbers if isinstance(number, int) and 0 <= number < count)


def few(tests: Sequence[Calling], most: int = MOST) -> tuple[Calling, ...]:
    """At most `most` tests, in the order of their names; () where they are fewer than `FEWEST`.

    First comes the best test of each function, then those that call the most of them, then the quickest.
    """
    if len(tests) < FEWEST:
        return ()
    ranked = sorted(tests, key=lambda test: (-len(test.functions), test.seconds, test.id))
    best: dict[int, Calling] = {}
    for test in ranked:
        for number in test.functions:
            best.setdefault(number, test)
    chosen = dict.fromkeys([*(test for test in ranked if test in best.values()), *ranked])
    return tuple(sorted(list(chosen)[:most], key=lambda test: test.id))


def only(command: TestCommand, tests: Sequence[Calling]) -> TestCommand | None:
    """The command for these tests; for their files, where it is a shell's, which may not run pytest itself."""
    names = [test.id if command.kind == "pytest" else test.path for test in tests]
    return narrowed(command, [RepoPath(name) for name in dict.fromkeys(names)])
