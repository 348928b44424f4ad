"""The caller, run on this host with code of these tests."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from selection import inside


def outputs(tmp_path: Path, module: str, *arguments: str, name: str = "f", owner: str | None = None) -> dict[int, str]:
    repository, path = tmp_path / "repository", tmp_path / "calls.json"
    repository.mkdir()
    (repository / "mod.py").write_text(module)
    path.write_text(json.dumps([["mod", name, owner, own] for own in arguments]))
    argv = [sys.executable, "-c", inside.source("call_all.py"), str(path), str(repository), "NONCE", "0.5"]
    lines = subprocess.run(argv, capture_output=True, timeout=60, check=False).stdout.decode().splitlines()
    return dict(json.loads(line.removeprefix("NONCE ")) for line in lines if line.startswith("NONCE "))


def result_of(tmp_path: Path, expression: str) -> str:
    return outputs(tmp_path, f"def f():\n    return {expression}\n", "((), {})")[0]


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("1.0", "1"),
        ("0.1 + 0.2", "0.3"),
        ("True", "True"),
        ("[1, (2,), (), ('a', None)]", "[1, (2,), (), ('a', None)]"),
        ("{3, 1, 2}", "{1, 2, 3}"),
        ("(set(), frozenset({1}))", "(set(), frozenset({1}))"),
        ("{'b': 1, 'a': {2: 1.0}}", "{'a': {2: 1}, 'b': 1}"),
        ("(i for i in range(3))", "iterator[0, 1, 2]"),
        ("object()", "<object object at 0x>"),
        ("type('T', (), {})()", "T{}"),
        ("float('nan')", "nan"),
        ("1 / 0", "raises ZeroDivisionError"),
        ("exit(0)", "raises SystemExit"),
        ("__import__('asyncio').sleep(0, 'slept')", "'slept'"),
    ],
)
def test_outputs_are_written_alike_for_equal_values(tmp_path: Path, expression: str, text: str) -> None:
    assert result_of(tmp_path, expression) == text


def test_long_outputs_keep_their_head_and_a_digest(tmp_path: Path) -> None:
    texts = outputs(tmp_path, "def f(n):\n    return 'x' * 1000 + str(n)\n", "((1,), {})", "((2,), {})")
    assert all(len(text) < 300 for text in texts.values())
    assert texts[0] != texts[1]
    assert texts[0][:200] == texts[1][:200]


def test_what_a_call_does_to_its_arguments_and_object_is_told(tmp_path: Path) -> None:
    module = "class A:\n    def __init__(self, n):\n        self.n = n\n    def f(self, x):\n        x.append(self.n)\n"
    module += "        self.n += 1\n"
    texts = outputs(tmp_path, module, "(([],), {})", "(([],), {})", name="A.f", owner="((3,), {})")
    assert texts[0] == "None; arguments become (([3],), {}); object becomes A{'n': 4}"
    assert texts[0] == texts[1]


def test_arguments_are_fresh_for_each_call(tmp_path: Path) -> None:
    module = "def f(x):\n    x.append(1)\n    return x\n"
    assert outputs(tmp_path, module, "(([],), {})", "(([],), {})") == {0: "[1]", 1: "[1]"}


HOSTILE = """\
import os, sys, subprocess
def f(what):
    if what == "forge":
        for fd in range(3, 20):
            try:
                os.write(fd, b'NONCE [2, "forged"]\\n')
            except OSError:
                pass
        print('NONCE [2, "forged"]')
    elif what == "exit":
        os._exit(0)
    elif what == "hang":
        while True:
            try:
                while True: pass
            except BaseException:
                pass
    elif what == "allocate":
        return len(b"x" * (1 << 34))
    elif what == "child":
        subprocess.Popen(["sleep", "600"])
    elif what == "signal":
        os.kill(os.getpid(), 11)
    return what
"""


def test_each_hostile_call_loses_its_own_output_only(tmp_path: Path) -> None:
    calls = [f"(({what!r},), {{}})" for what in ("exit", "hang", "good", "allocate", "signal", "child", "good")]
    assert outputs(tmp_path, HOSTILE, *calls) == {
        0: "ends the program",
        1: "does not end in time",
        2: "'good'",
        3: "raises MemoryError",
        4: "ends the program",
        5: "'child'",
        6: "'good'",
    }


def test_a_forged_line_counts_for_no_other_call(tmp_path: Path) -> None:
    found = outputs(tmp_path, HOSTILE, "(('good',), {})", "(('forge',), {})", "(('good',), {})")
    assert (found[0], found[2]) == ("'good'", "'good'")


def test_after_three_endless_calls_the_rest_is_left_out(tmp_path: Path) -> None:
    assert sorted(outputs(tmp_path, HOSTILE, *["(('hang',), {})"] * 5)) == [0, 1, 2]


@pytest.mark.parametrize("module", ["1 / 0", "def (", "raise SystemExit(0)"])
def test_a_tree_that_cannot_be_loaded_has_that_as_its_outputs(tmp_path: Path, module: str) -> None:
    found = outputs(tmp_path, module, "((1,), {})", "((2,), {})")
    assert len(found) == 2
    assert all(text.endswith("when it is imported") for text in found.values())


def test_a_tree_that_ends_while_it_is_loaded_has_no_outputs(tmp_path: Path) -> None:
    assert outputs(tmp_path, "import os\nos._exit(0)\n", "((1,), {})") == {}
