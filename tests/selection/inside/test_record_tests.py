"""The plugin, in a pytest of this host with code of these tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.base import RepoPath
from selection import inside
from selection.calls_of_tests import PLUGIN
from selection.touched import functions_of

MODULE = """\
def add(a, b):
    return a + b

import functools

def outer():
    return [inner() for inner in [lambda: 1]]

def logged(function):
    @functools.wraps(function)
    def wrapper(*given):
        return function(*given)
    return wrapper

def table():
    return {}

def steps():
    yield 1

class Account:
    def draw(self):
        return 1

    class Limit:
        def check(self):
            return 2
"""
CONFTEST = """\
import pytest
import m

@pytest.fixture(scope="session")
def account():
    return m.Account().draw()

@pytest.fixture
def sum_of_two():
    return m.add(1, 1)
"""
TESTS = """\
import sys
import threading
import pytest
import unittest
import m

@pytest.mark.parametrize("n", ["a", "b::c"])
def test_add(n):
    m.add(1, 2)

def test_nothing():
    pass

def test_fails():
    m.add(1, 2)
    assert False

def test_skips():
    m.add(1, 2)
    pytest.skip("why")

class TestIt:
    def test_outer(self):
        m.outer()
        m.Account.Limit().check()

def test_fixture(sum_of_two):
    pass

def test_first(account):
    pass

def test_second(account):
    pass

def test_steps():
    assert list(m.steps()) == [1]

def test_elsewhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    thread = threading.Thread(target=m.table)
    thread.start()
    thread.join()

def test_takes_the_profile_function():
    sys.setprofile(None)
    sys.settrace(None)

def test_after():
    m.table()

class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        m.outer()

    def test_one(self):
        pass

    def test_two(self):
        m.add(1, 1)
"""


def run(folder: Path, tests: str, functions: list[str], *arguments: str) -> tuple[list[list[object]], int]:
    """What the plugin tells of functions of m.py, and pytest's exit code."""
    repository, ours = folder / "repository", folder / "ours"
    for path, text in {"m.py": MODULE, "conftest.py": CONFTEST, "tests/test_m.py": tests}.items():
        (repository / path).parent.mkdir(parents=True, exist_ok=True)
        (repository / path).write_text(text)
    ours.mkdir()
    (ours / f"{PLUGIN}.py").write_text(inside.source("record_tests.py"))
    wanted: list[list[object]] = []
    for name in functions:
        source = functions_of(MODULE.encode())[name]
        first = MODULE[: MODULE.index(source)].count("\n") + 1
        wanted.append([RepoPath("m.py"), first, first + source.count("\n")])
    (ours / "wanted.json").write_text(json.dumps([str(repository), wanted]))
    argv = [sys.executable, "-m", "pytest", "-q", "-p", PLUGIN, "-p", "no:cacheprovider", "-W", "error", *arguments]
    env = {**os.environ, "PYTHONPATH": str(ours)}
    ended = subprocess.run(argv, cwd=repository, env=env, capture_output=True, timeout=100, check=False)
    assert ended.returncode in (0, 1), ended.stdout.decode()
    return [json.loads(line) for line in (ours / "calls.jsonl").read_text().splitlines()], ended.returncode


def test_each_test_that_passed_is_told_with_what_it_calls(tmp_path: Path) -> None:
    names = ["add", "outer", "logged", "table", "steps", "Account.draw", "Account.Limit.check"]
    told, code = run(tmp_path, TESTS, names)
    assert {path for path, *_ in told} == {"tests/test_m.py"}
    assert [(name, numbers) for _, name, numbers, _ in told] == [
        ("test_add", [0]),
        ("test_add", [0]),
        ("TestIt::test_outer", [1, 6]),
        ("test_fixture", [0]),
        ("test_first", [5]),
        ("test_second", [5]),
        ("test_steps", [4]),
        ("test_elsewhere", [3]),
        ("test_after", [3]),
        ("Case::test_one", [1]),
        ("Case::test_two", [0, 1]),
    ]
    assert all(isinstance(seconds, float) for *_, seconds in told)
    assert code == 1


def test_a_decorator_that_modules_use_as_they_load_is_told_without_a_test(tmp_path: Path) -> None:
    tests = "import m\n\n@m.logged\ndef twice(n):\n    return 2 * n\n\ndef test_twice():\n    assert twice(1) == 2\n"
    told, _ = run(tmp_path, tests, ["logged"])
    assert [line[:3] for line in told] == [["tests/test_m.py", "test_twice", [0]], [None, None, [0]]]


def test_processes_of_xdist_tell_into_one_file(tmp_path: Path) -> None:
    pytest.importorskip("xdist")
    told, _ = run(tmp_path, TESTS, ["table"], "-n", "2")
    assert sorted(str(name) for _, name, *_ in told) == ["test_after", "test_elsewhere"]
