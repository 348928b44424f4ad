"""Which tests run on the classes, where it is known what they call."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest

from agent.task import Task, TaskId
from sandbox.base import Backend, Patch, Recipe, RepoPath, Sandbox, Snapshot, Tree, digest_of
from selection.base import ClassId, PatchClass, Regressions
from selection.calls_of_tests import FEWEST, MOST, Calling, few, only, read_calls
from selection.regression import regressions
from selection.repository_tests import TestCommand
from tests.selection.backends import BACKENDS
from tests.selection.fakes import MODULE, FakeSandbox, ListRecorder, patch_class, task

TEST = RepoPath("tests/test_m.py")
FILES: Tree = {MODULE: b"def x(): return 0\n", TEST: b"def test(): pass\n"}
NAMES = [f"test_{number}" for number in range(6)]
CALLING = NAMES[:4]


def patch_to(value: int) -> Patch:
    line = f"-def x(): return 0\n+def x(): return {value}\n"
    return Patch(f"diff --git a/m.py b/m.py\n--- a/m.py\n+++ b/m.py\n@@ -1 +1 @@\n{line}")


def told(*names: str, path: str | None = TEST) -> bytes:
    return "".join(json.dumps([path, name, [0], 0.1]) + "\n" for name in names).encode()


def suite(sandbox: FakeSandbox) -> Callable[[Mapping[RepoPath, bytes], int], Mapping[str, bool | None] | None]:
    """All tests, or those that the command names; all fail where m says 7."""

    def run(files: Mapping[RepoPath, bytes], _: int) -> Mapping[str, bool | None]:
        argv = sandbox.argvs[-1]
        chosen = [part.partition("::")[2] for part in argv[argv.index("--") + 1 :]] if "--" in argv else NAMES
        return {f"m::{name}": b"7" not in files[MODULE] for name in chosen or NAMES}

    return run


def sandbox_that_tells(calls: bytes | None) -> FakeSandbox:
    sandbox = FakeSandbox(FILES)
    sandbox.suite, sandbox.calls = suite(sandbox), calls
    return sandbox


async def found(sandbox: FakeSandbox, seconds: float = 100.0, command: str | None = None) -> Regressions:
    classes = [patch_class("c1", patch_to(1)), patch_class("c7", patch_to(7))]
    return await regressions(task(command), sandbox.files, classes, sandbox, seconds, 2, ListRecorder())


async def test_only_tests_that_call_what_is_touched_run_on_the_classes(fake: FakeSandbox) -> None:
    sandbox = sandbox_that_tells(told(*CALLING))
    done = await found(sandbox)
    assert done.passing == tuple(f"m::{name}" for name in CALLING)
    assert done.broken == {"c1": (), "c7": done.passing}
    assert done.flaky == ()
    assert "Only 4 tests that call what the candidates change ran on them." in done.note
    assert sandbox.suite_runs == 5  # all, all with the plugin, four, four for each class
    assert all("sh" not in argv for argv in sandbox.argvs[3:])


@pytest.mark.parametrize(
    "calls",
    [
        None,
        b"",
        b"no report\n",
        told(*CALLING[: FEWEST - 1]),
        told(*CALLING) + json.dumps([None, None, [0], 0.0]).encode(),
    ],
)
async def test_all_tests_run_where_the_calls_are_not_known(fake: FakeSandbox, calls: bytes | None) -> None:
    sandbox = sandbox_that_tells(calls)
    done = await found(sandbox)
    assert done.passing == tuple(f"m::{name}" for name in NAMES)
    assert (done.command, done.note) == ("python -m pytest -q", "")


async def test_all_tests_run_where_the_few_do_not_pass_alone(fake: FakeSandbox) -> None:
    sandbox = sandbox_that_tells(told(*CALLING))
    inner = suite(sandbox)
    sandbox.suite = lambda files, run: {f"m::{CALLING[0]}": True} if "--" in sandbox.argvs[-1] else inner(files, run)
    assert len((await found(sandbox)).passing) == len(NAMES)


async def test_what_fails_while_calls_are_recorded_counts_for_nothing(fake: FakeSandbox) -> None:
    sandbox = sandbox_that_tells(told(*CALLING))
    inner = suite(sandbox)
    sandbox.suite = lambda files, run: {"m::other": False} if sandbox.argvs[-1][0] == "sh" else inner(files, run)
    done = await found(sandbox)
    assert (len(done.passing), done.flaky) == (4, ())


async def test_calls_are_not_recorded_where_the_budget_has_no_room(fake: FakeSandbox) -> None:
    sandbox = sandbox_that_tells(told(*CALLING))
    done = await found(sandbox, seconds=0.0)  # each share is five seconds then, and each run says half of one
    assert len(done.passing) == 4
    slow = sandbox_that_tells(told(*CALLING))
    slow.seconds = 4.9
    assert len((await found(slow, seconds=0.0)).passing) == 6
    assert slow.suite_runs == 4


async def test_a_command_that_takes_no_files_runs_as_it_is(fake: FakeSandbox) -> None:
    sandbox = sandbox_that_tells(told(*CALLING))
    assert len((await found(sandbox, command="make test")).passing) == len(NAMES)
    assert sandbox.suite_runs == 4


def calling(name: str, *functions: int, seconds: float = 0.1) -> Calling:
    return Calling(TEST, name, frozenset(functions), seconds)


def test_each_function_has_its_best_test_then_most_functions_then_the_quickest() -> None:
    tests = [
        *(calling(f"a{number}", 0, 1, seconds=number) for number in range(4)),
        calling("b", 2, seconds=9.0),
        calling("c", 0),
    ]
    assert [test.name for test in few(tests, 4)] == ["a0", "a1", "a2", "b"]
    assert [test.name for test in few(tests)] == ["a0", "a1", "a2", "a3", "b", "c"]
    assert len(few([calling(f"t{number}", 0) for number in range(99)])) == MOST
    assert few(tests[: FEWEST - 1]) == ()


def test_a_test_with_parameters_is_one_test() -> None:
    lines = [
        [TEST, "test", [0], 0.5],
        [TEST, "test", [1, 9, "x"], 0.25],
        [TEST, "other", [7], 0.1],
        ["x.py", "t", [0], 1.0],
    ]
    data = "".join(json.dumps(line) + "\n" for line in lines).encode()
    assert read_calls(data, FILES, 2) == (calling("test", 0, 1, seconds=0.75),)


def test_a_shell_s_command_gets_files() -> None:
    tests = [calling("A::one", 0), calling("two", 0)]
    shell = only(TestCommand(("sh", "-c", "t"), "t", "shell", "t {tests}"), tests)
    assert shell is not None
    assert shell.argv[-1] == "t tests/test_m.py"
    direct = only(TestCommand(("pytest",), "pytest", "pytest"), tests)
    assert direct is not None
    assert direct.argv == ("pytest", "--", "tests/test_m.py::A::one", "tests/test_m.py::two")


REAL: Tree = {
    RepoPath(
        "prices.py"
    ): b"def total(prices):\n    return sum(prices)\n\n\ndef shown(price):\n    return str(price)\n",
    RepoPath("tests/test_prices.py"): (
        b"import pytest\nfrom prices import shown, total\n\n"
        b"@pytest.mark.parametrize('n', [0, 1, 2])\ndef test_one(n):\n    assert total([n]) == n\n\n"
        b"def test_none():\n    assert total([]) == 0\n\n"
        b"class TestTwo:\n    def test_two(self):\n        assert total([1, 2]) == 3\n\n"
        b"def test_shown():\n    assert shown(1) == '1'\n"
    ),
}


@pytest.fixture(params=BACKENDS)
async def sandbox(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Sandbox]:
    tar = tmp_path / "tree.tar"
    with tarfile.open(tar, "w") as archive:
        for path, content in REAL.items():
            info = tarfile.TarInfo(path)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    snapshot = Snapshot(tar, digest_of(*(part for item in REAL.items() for part in item)))
    make: Callable[[], Backend] = request.param
    backend = make()
    try:
        recipe = Recipe(base="python:3.11", install=("pip install pytest",))
        yield await backend.open(recipe, snapshot, run_id="test-calls-of-tests")
    finally:
        await backend.close()


async def test_in_a_sandbox_the_tests_that_call_what_is_touched_run(sandbox: Sandbox) -> None:
    prices = RepoPath("prices.py")
    bodies = {"c1": b"sum(prices, 0)", "c2": b"prices[0] + sum(prices[1:])"}
    changed = {name: REAL[prices].replace(b"sum(prices)", body) for name, body in bodies.items()}
    classes = [
        PatchClass(ClassId(name), await sandbox.make_patch({prices: text}), ()) for name, text in changed.items()
    ]
    one = Task(TaskId("t"), "", "prices", "0" * 40, Recipe(base="python:3.11"))
    done = await regressions(one, REAL, classes, sandbox, 120, 2, ListRecorder())
    assert "Only 3 tests that call" in done.note
    assert len(done.passing) == 5  # of one with parameters, three
    assert done.broken == {"c1": (), "c2": ("tests.test_prices::test_none",)}
