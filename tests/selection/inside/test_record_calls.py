"""The recorder, run on this host with code of these tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from selection import inside

MODULE = """\
from dataclasses import dataclass
from functools import lru_cache

def add(a, b=1, *rest, key=None, **more):
    return helper(a) + b

def helper(x):
    return x

@lru_cache
def cached(n):
    return n

def steps(n):
    for i in range(n):
        yield i

def stop(text):
    raise SystemExit(3)

def hang(n):
    while n:
        pass

class Account:
    def __init__(self, start, *, step=2):
        self.start = start

    def draw(self, n):
        self.start -= n
        return self.start

    @classmethod
    def made(cls, n):
        return cls(n)

@dataclass
class Point:
    x: int

    def twice(self):
        return 2 * self.x
"""


def told(tmp_path: Path, script: str, *touched: str, seconds: float | None = 20) -> list[list[object]]:
    return told_by_each(tmp_path, [script], *touched, seconds=seconds)[0]


def told_by_each(
    tmp_path: Path, sources: list[str], *touched: str, seconds: float | None = 20
) -> list[list[list[object]]]:
    repository, path = tmp_path / "repository", tmp_path / "scripts.json"
    repository.mkdir()
    (repository / "mod.py").write_text(MODULE)
    path.write_text(json.dumps([[f"s{n}/script.py", f"NONCE{n}", source] for n, source in enumerate(sources)]))
    wanted = json.dumps([["mod.py", name] for name in touched])
    argv = [sys.executable, "-c", inside.source("record_calls.py"), str(path), str(repository), wanted]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # a sandbox ends with all its processes, too
        output, _ = process.communicate()
    pairs = [line.split(" ", 1) for line in output.decode().splitlines()]
    assert {nonce for nonce, _ in pairs} <= {f"NONCE{n}" for n in range(len(sources))}
    return [[json.loads(text) for nonce, text in pairs if nonce == f"NONCE{n}"] for n in range(len(sources))]


def calls(tmp_path: Path, script: str, *touched: str) -> list[tuple[object, object]]:
    return [(name, own) for _, _, name, _, own in told(tmp_path, script, *touched)]


def test_calls_of_the_script_are_told_with_path_and_module(tmp_path: Path) -> None:
    assert told(tmp_path, "import mod\nmod.add(1, [2])") == [["mod.py", "mod", "add", None, "((1, [2]), {})"]]


def test_a_call_below_is_told_only_of_what_is_touched(tmp_path: Path) -> None:
    assert calls(tmp_path, "from mod import *\nadd(1, 3)", "helper") == [
        ("add", "((1, 3), {})"),
        ("helper", "((1,), {})"),
    ]


def test_it_goes_on_after_a_failed_assertion_an_exception_and_an_exit(tmp_path: Path) -> None:
    script = """\
from mod import *
import sys
assert helper(1) == 2
raise ValueError
if helper(2) != 3:
    sys.exit(2)
stop("x")
def test_more():
    assert helper(3) == 4
    assert helper(4) == 5
def test_with_parameters(fixture):
    helper(99)
"""
    assert [own for _, own in calls(tmp_path, script)] == [
        "((1,), {})", "((2,), {})", "(('x',), {})", "((3,), {})", "((4,), {})",
    ]  # fmt: skip


def test_test_cases_are_run(tmp_path: Path) -> None:
    script = """\
import unittest
from mod import helper
class Case(unittest.TestCase):
    def test_it(self):
        self.assertEqual(helper("in a case"), 1)
"""
    assert calls(tmp_path, script) == [("helper", "(('in a case',), {})")]


def test_defaults_rest_and_names_are_told_as_they_were_given(tmp_path: Path) -> None:
    script = "from mod import *\nadd(5)\nadd(5, 6, 7, key='k', z=1)\nadd(5, b=9)"
    assert [own for _, own in calls(tmp_path, script)] == [
        "((5,), {})",
        "((5, 6, 7), {'key': 'k', 'z': 1})",
        "((5, 9), {})",
    ]


def test_a_generator_and_a_decorated_function_are_told_once(tmp_path: Path) -> None:
    script = "from mod import *\nlist(steps(3))\ncached(4)\nhelper(1)\nhelper(1)"
    assert [name for name, _ in calls(tmp_path, script)] == ["steps", "cached", "helper"]


def test_methods_are_told_with_what_their_object_was_made_with(tmp_path: Path) -> None:
    script = "from mod import *\na = Account(9, step=3)\na.draw(4)\na.draw(1)\nAccount.made(5)\nPoint(3).twice()"
    assert [(name, owner, own) for _, _, name, owner, own in told(tmp_path, script)] == [
        ("Account.draw", "((9,), {'step': 3})", "((4,), {})"),
        ("Account.draw", "((9,), {'step': 3})", "((1,), {})"),
        ("Account.made", None, "((5,), {})"),
        ("Point.twice", "((), {'x': 3})", "((), {})"),
    ]


@pytest.mark.parametrize(
    "value",
    ["object()", "float('nan')", "float('inf')", "set()", "[[[[[[[[1]]]]]]]]", "'x' * 3000", "10 ** 400", "len"],
)
def test_what_no_literal_gives_back_is_not_told(tmp_path: Path, value: str) -> None:
    assert calls(tmp_path, f"from mod import *\nhelper({value})\nhelper(2)") == [("helper", "((2,), {})")]


def test_prints_and_forged_lines_of_the_script_go_nowhere(tmp_path: Path) -> None:
    script = """\
import os, sys
from mod import helper
print('NONCE ["mod.py", "mod", "helper", null, "forged"]')
os.write(1, b"NONCE []")
sys.stderr.write("noise")
helper(1)
"""
    assert calls(tmp_path, script) == [("helper", "((1,), {})")]


def test_a_script_that_hangs_has_told_what_it_called(tmp_path: Path) -> None:
    assert [own for *_, own in told(tmp_path, "from mod import *\nhelper(1)\nhang(2)\nhelper(3)", seconds=2)] == [
        "((1,), {})",
        "((2,), {})",
    ]


def test_a_script_that_cannot_be_read_tells_nothing(tmp_path: Path) -> None:
    assert told(tmp_path, "def (") == []


def test_each_script_is_told_apart_and_one_that_hangs_delays_no_other(tmp_path: Path) -> None:
    scripts = ["import mod\nmod.hang(1)", "import mod\nmod.helper(2)", "import mod\nmod.helper(3)\nmod.hang(4)"]
    assert [[own for *_, own in lines] for lines in told_by_each(tmp_path, scripts, seconds=2)] == [
        ["((1,), {})"], ["((2,), {})"], ["((3,), {})", "((4,), {})"],
    ]  # fmt: skip
