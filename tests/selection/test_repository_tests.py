import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.base import RepoPath, Tree
from selection.repository_tests import (
    WHOLE_RUN,
    TestCommand,
    find_command,
    is_test_file,
    narrowed,
    read_junit,
    read_unittest,
    run_tests,
)
from tests.selection.fakes import MODULE, FakeSandbox, junit, task

TESTED: Tree = {MODULE: b"x = 0\n", RepoPath("tests/test_m.py"): b"import unittest\nimport m\n"}


async def found(files: Tree, test_command: str | None = None, *, pytest: bool = True) -> TestCommand | str:
    sandbox = FakeSandbox(files)
    sandbox.pytest = pytest
    async with sandbox.workspace() as workspace:
        return await find_command(task(test_command), files, sandbox, workspace)


async def outcome(command: TestCommand, suite, *, pytest: bool = True):
    sandbox = FakeSandbox(TESTED, suite)
    sandbox.pytest = pytest
    async with sandbox.workspace() as workspace:
        return await run_tests(command, workspace, 10.0)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("tests/data/x.json", True),
        ("pkg/test_m.py", True),
        ("pkg/m_test.py", True),
        ("conftest.py", True),
        ("app/tests.py", True),
        ("testing/helper.py", True),
        ("pkg/latest.py", False),
        ("contest.py", False),
        ("test_data.json", False),
    ],
)
def test_test_files_are_told_by_the_usual_names(path: str, expected: bool) -> None:
    assert is_test_file(path) is expected


async def test_the_tasks_own_command_is_taken_as_it_is() -> None:
    command = await found({}, "tox -e py && true")
    assert isinstance(command, TestCommand)
    assert command.argv == ("sh", "-c", "tox -e py && true")


async def test_pytest_is_taken_where_there_are_tests_and_pytest() -> None:
    command = await found(TESTED)
    assert isinstance(command, TestCommand)
    assert command.kind == "pytest"
    assert {"-q", "-p", "no:cacheprovider"} <= set(command.argv)
    assert not any("maxfail" in part or part == "-x" for part in command.argv)


async def test_a_pytest_configuration_is_enough() -> None:
    command = await found({MODULE: b"", RepoPath("pyproject.toml"): b"[tool.pytest.ini_options]\n"})
    assert isinstance(command, TestCommand)


async def test_unittest_where_pytest_is_missing() -> None:
    command = await found({**TESTED, RepoPath("tests/__init__.py"): b""}, pytest=False)
    assert isinstance(command, TestCommand)
    assert command.shown == "python -m unittest discover -v -s tests -t ."


async def test_why_there_is_nothing_to_run_is_a_sentence() -> None:
    assert await found({MODULE: b"x = 0\n"}) == "The repository has no tests that could be found."
    needs_pytest = {MODULE: b"", RepoPath("test_m.py"): b"def test_m(): pass\n"}
    assert "need pytest" in str(await found(needs_pytest, pytest=False))


async def test_outcomes_come_from_the_report() -> None:
    command = TestCommand(("python", "-m", "pytest", "--junitxml=/tmp/bestpatch-regression.xml"), "pytest", "pytest")
    run = await outcome(command, lambda _, __: {"m::a": True, "m::b": False, "m::c": None})
    assert run.passed == {"m::a": True, "m::b": False}


async def test_a_command_that_runs_pytest_is_read_test_by_test() -> None:
    run = await outcome(TestCommand(("sh", "-c", "make test"), "make test", "shell"), lambda _, __: {"m::a": True})
    assert run.passed == {"m::a": True}


async def test_a_command_without_a_report_counts_as_a_whole() -> None:
    command = TestCommand(("sh", "-c", "make test"), "make test", "shell")
    run = await outcome(command, lambda _, __: {"a": True, "b": False}, pytest=False)
    assert run.passed == {WHOLE_RUN: False}


async def test_a_run_that_does_not_end_has_no_outcomes() -> None:
    command = TestCommand(("sh", "-c", "make test"), "make test", "shell")
    run = await outcome(command, lambda _, __: None)
    assert (run.passed, run.seconds) == (None, 10.0)


def test_only_pytest_takes_files() -> None:
    command = TestCommand(("python", "-m", "pytest"), "python -m pytest", "pytest")
    fewer = narrowed(command, [RepoPath("tests/test_m.py")])
    assert fewer is not None
    assert fewer.argv == ("python", "-m", "pytest", "--", "tests/test_m.py")
    assert narrowed(command, []) is None
    assert narrowed(TestCommand(("sh", "-c", "x"), "x", "shell"), [RepoPath("tests/test_m.py")]) is None


async def test_a_shell_command_says_where_test_files_go() -> None:
    command = await found({}, "pytest {tests} -q")
    assert isinstance(command, TestCommand)
    assert command.argv == ("sh", "-c", "pytest  -q")
    fewer = narrowed(command, [RepoPath("tests/test_m.py"), RepoPath("tests/a b.py")])
    assert fewer is not None
    assert fewer.argv == ("sh", "-c", "pytest tests/test_m.py 'tests/a b.py' -q")
    again = narrowed(fewer, [RepoPath("tests/test_m.py")])
    assert again is not None
    assert again.shown == "pytest tests/test_m.py -q"


def test_letters_behind_a_name_are_read() -> None:
    output = "sympy/a/test_x.py[4]\ntest_a ok\ntest_b F\ntest_c s\ntest_d f\ntest_e E   [FAIL]\ntest_a E\n"
    assert read_unittest(output) == {"test_a": False, "test_b": False, "test_d": True}


def test_a_name_that_occurs_twice_passed_when_both_passed() -> None:
    twice = junit({"m::a": True}).replace(
        b"</testsuite>", b'<testcase classname="m" name="a"><error/></testcase></testsuite>'
    )
    assert read_junit(twice) == {"m::a": False}


def test_a_report_with_entities_is_refused() -> None:
    bomb = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa">]><x>&a;</x>'
    with pytest.raises(ValueError, match="not a JUnit report"):
        read_junit(bomb)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert read_junit(data) == {}


@given(st.dictionaries(st.from_regex(r"[a-z]{1,5}::[a-z<&\"']{1,5}", fullmatch=True), st.sampled_from([True, False])))
def test_a_report_gives_back_what_was_written(outcomes: dict[str, bool]) -> None:
    assert read_junit(junit(outcomes)) == outcomes


def test_verbose_unittest_output_is_read_line_by_line() -> None:
    output = """\
test_add (tests.test_m.Adding.test_add) ... ok
test_sub (tests.test_m.Adding.test_sub)
Subtracts. ... FAIL
test_mul (tests.test_m.Adding.test_mul) ... skipped 'slow'
test_div (tests.test_m.Adding.test_div) ... expected failure
test_pow (tests.test_m.Adding.test_pow) ... ERROR

======
FAIL: test_sub (tests.test_m.Adding.test_sub)
"""
    assert read_unittest(output) == {
        "test_add (tests.test_m.Adding.test_add)": True,
        "test_sub (tests.test_m.Adding.test_sub)": False,
        "test_div (tests.test_m.Adding.test_div)": True,
        "test_pow (tests.test_m.Adding.test_pow)": False,
    }
