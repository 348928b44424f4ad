"""How a script's end becomes a verdict. The runner itself needs no sandbox and is run by this interpreter."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from sandbox.base import Ended, Execution, Limits, Patch, RepoPath, Sandbox
from sandbox.script import Verdict, run_script, script_command, verdict_of
from tests.conformance.repository import CALC

LIMITS = Limits(seconds=20.0, memory_bytes=512 * 1024**2)

# ruff: noqa: E501 - a table of scripts
ENDS: dict[str, tuple[int, str]] = {
    "passes": (0, "from calc import add\nassert add(1, 2) == 3"),
    "assertion": (2, "from calc import add\nassert add(1, 2) == 4, 'told'"),
    "assertion in a function": (2, "def check():\n    assert False\ncheck()"),
    "assertion raised by hand": (2, "raise AssertionError('x')"),
    "other exception": (1, "assert True\nraise ValueError('x')"),
    "error in the code under test": (1, "from calc import add\nassert add(None, 2)"),
    "missing module": (1, "import no_such_module\nassert True"),
    "syntax error": (1, "assert (\n"),
    "a NUL in the source": (1, "assert True\0"),
    "sys.exit(0)": (0, "import sys\nassert True\nsys.exit(0)"),
    "sys.exit()": (0, "import sys\nassert True\nsys.exit()"),
    "sys.exit(2)": (2, "import sys\nsys.exit(2)"),
    "sys.exit(7)": (7, "import sys\nsys.exit(7)"),
    "sys.exit(text)": (1, "import sys\nsys.exit('no')"),
    "exit(2)": (2, "exit(2)"),
    "exit in a handler": (2, "import sys\ntry:\n    assert False\nexcept AssertionError:\n    sys.exit(2)"),
    "os._exit(0) at once": (1, "import os\nos._exit(0)\nassert False"),
    "os._exit(0) in the code under test": (1, "import quits\nassert False"),
    "SystemExit(0) in the code under test": (1, "import leaves\nleaves.now(0)\nassert False"),
    "SystemExit(2) in the code under test": (1, "import leaves\nleaves.now(2)\nassert False"),
    "argparse in the code under test": (1, "import leaves\nleaves.parse()\nassert False"),
    "SystemExit caught by the script": (0, "import leaves\ntry:\n    leaves.now(0)\nexcept SystemExit as e:\n    assert e.code == 0"),
    "os._exit(3)": (3, "import os\nos._exit(3)"),
    "a signal": (139, "import os\nos.kill(os.getpid(), 11)\nassert True"),
    "exit code 0 after a failed assertion": (1, "import atexit, os\natexit.register(os._exit, 0)\nassert False"),
    "dies while finishing": (134, "import atexit, os\natexit.register(os.abort)\nassert True"),
    "empty": (1, ""),
    "checks nothing": (1, "from calc import add\nprint(add(1, 2))"),
    "checks through a helper": (0, "import unittest\nunittest.TestCase().assertEqual(1, 1)"),
    "fails through a helper": (2, "import unittest\nunittest.TestCase().assertEqual(1, 2)"),
    "a test function nobody calls": (2, "def test_x():\n    assert False"),
    "a test function nobody calls, fixed": (0, "def test_x():\n    assert True"),
    "a test function that breaks": (1, "def test_x():\n    assert True\n    1 / 0"),
    "one breaks, one fails": (2, "def test_a():\n    1 / 0\ndef test_b():\n    assert False"),
    "an async test function": (2, "async def test_x():\n    assert False"),
    "a test function that is called": (0, "def test_x():\n    assert True\ntest_x()"),
    "a guarded main": (2, "def test_x():\n    assert False\nif __name__ == '__main__':\n    test_x()"),
    "a test class": (2, "import unittest\nclass TestX(unittest.TestCase):\n    def test_x(self):\n        self.assertTrue(False)"),
    "unittest.main": (2, "import unittest\nclass X(unittest.TestCase):\n    def test_x(self):\n        self.fail()\nunittest.main()"),
    "unittest.main, fixed": (0, "import unittest\nclass X(unittest.TestCase):\n    def test_x(self):\n        pass\nunittest.main()"),
    "unittest.main with an error": (1, "import unittest\nclass X(unittest.TestCase):\n    def test_x(self):\n        1 / 0\nunittest.main()"),
    "unittest.main without tests": (1, "import unittest\nunittest.main()"),
    "pytest.fail": (2, "import pytest\npytest.fail('x')"),
    "pytest.raises that does not": (2, "import pytest\nwith pytest.raises(ValueError):\n    int('1')"),
    "pytest.main": (2, "import pytest, sys\ndef test_x():\n    assert False\nif __name__ == '__main__':\n    sys.exit(pytest.main([__file__, '-q']))"),
    "fixtures and parameters": (2, "import pytest\n@pytest.mark.parametrize('n', [1, 2])\ndef test_x(n, tmp_path):\n    assert n == 1"),
    "fixtures, fixed": (0, "def test_x(tmp_path):\n    assert tmp_path.exists()"),
    "fixtures, broken": (1, "def test_x(tmp_path):\n    assert 1 / 0"),
    "a group of assertions": (2, "raise ExceptionGroup('x', [AssertionError(), AssertionError()])"),
    "a mixed group": (1, "raise ExceptionGroup('x', [AssertionError(), ValueError()])"),
    "skipped": (1, "import unittest\nassert True\nraise unittest.SkipTest('x')"),
    "KeyboardInterrupt": (1, "assert True\nraise KeyboardInterrupt"),
    "a child that outlives it": (0, "import subprocess\nassert True\nsubprocess.Popen(['sleep', '2'])"),
    "own module in a process pool": (0, textwrap.dedent("""
        import multiprocessing
        def double(n): return 2 * n
        if __name__ == '__main__':
            with multiprocessing.get_context('spawn').Pool(1) as pool:
                assert pool.map(double, [1]) == [2]
    """)),
    "encoding line": (0, "# -*- coding: utf-8 -*-\nassert 'caf\u00e9'"),
    "its own name and arguments": (0, "import sys\nassert __name__ == '__main__' and sys.argv == [__file__]"),
}  # fmt: skip


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    (root / "calc.py").write_text("def add(a, b):\n    return a + b\n")
    (root / "quits.py").write_text("import os\nos._exit(0)\n")
    (root / "leaves.py").write_text(
        "import argparse\ndef now(code):\n    raise SystemExit(code)\n"
        "def parse():\n    argparse.ArgumentParser().parse_args(['--no-such'])\n"
    )
    (root / "src").mkdir()
    (root / "src" / "inner.py").write_text("HERE = 'src'\n")
    return root


def run(tree: Path, folder: Path, source: str, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    script = folder / "test_script.py"
    script.write_text(source, encoding="utf-8")
    argv = script_command(python, str(script), str(tree))
    return subprocess.run(
        argv, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("what", ENDS)
def test_an_end_has_its_exit_code(tree: Path, tmp_path: Path, what: str) -> None:
    code, source = ENDS[what]
    done = run(tree, tmp_path, source)
    ended = done.returncode if done.returncode >= 0 else 128 - done.returncode
    assert ended == code, done.stdout + done.stderr


def test_the_traceback_begins_at_the_script(tree: Path, tmp_path: Path) -> None:
    done = run(tree, tmp_path, "def f():\n    assert 1 == 2, 'told'\nf()")
    assert "told" in done.stderr
    assert "test_script.py" in done.stderr
    assert "<string>" not in done.stderr


@pytest.mark.parametrize("source", ["", "print(1)"])
def test_a_script_that_checks_nothing_is_told_so(tree: Path, tmp_path: Path, source: str) -> None:
    assert "checks nothing" in run(tree, tmp_path, source).stderr


def test_the_repository_and_src_come_after_what_is_installed(tree: Path, tmp_path: Path) -> None:
    (tree / "json.py").write_text("raise ValueError('shadowed')\n")
    (tree / "pytest.py").write_text("raise ValueError('shadowed')\n")
    try:
        done = run(tree, tmp_path, "import json, pytest, inner, calc\nassert inner.HERE == 'src'")
    finally:
        (tree / "json.py").unlink()
        (tree / "pytest.py").unlink()
    assert done.returncode == 0, done.stderr


def test_the_runners_own_names_are_not_the_scripts(tree: Path, tmp_path: Path) -> None:
    done = run(tree, tmp_path, "assert 'run_script' not in globals() and 'FIXED' not in globals()")
    assert done.returncode == 0, done.stderr


def old_pythons() -> list[str]:
    from sandbox.base_image import find_interpreters

    found = {each.version: str(each.prefix / "bin" / f"python{each.version}") for each in find_interpreters()}
    return [found[version] for version in ("3.6", "3.7", "3.8", "3.13") if version in found]


@pytest.mark.parametrize("python", old_pythons())
def test_it_runs_on_other_pythons(tree: Path, tmp_path: Path, python: str) -> None:
    assert run(tree, tmp_path, "from calc import add\nassert add(1, 2) == 3", python).returncode == 0
    assert run(tree, tmp_path, "async def test_x():\n    assert False", python).returncode == 2
    assert run(tree, tmp_path, "import quits\nassert True", python).returncode == 1


@pytest.mark.parametrize(
    ("ended", "code", "verdict"),
    [
        (Ended.EXITED, 0, Verdict.PASSED),
        (Ended.EXITED, 2, Verdict.FAILED),
        (Ended.EXITED, 1, Verdict.BROKEN),
        (Ended.EXITED, 137, Verdict.BROKEN),
        (Ended.OUT_OF_MEMORY, None, Verdict.BROKEN),
        (Ended.TIMED_OUT, None, Verdict.TIMED_OUT),
    ],
)
def test_an_execution_reads_as_a_verdict(ended: Ended, code: int | None, verdict: Verdict) -> None:
    assert verdict_of(Execution(ended, code, "", 0, 0.1)) is verdict


@pytest.mark.docker
async def test_a_script_tells_the_fixed_tree_from_the_unedited(sandbox: Sandbox) -> None:
    source = "from calc import add\nprint('caf\u00e9')\nassert add(1, 2) == 3, add(1, 2)\n"
    fixed = await sandbox.make_patch({RepoPath("calc.py"): CALC.replace(b"a - b", b"a + b")})
    before = await run_script(sandbox, source, Patch(""), LIMITS)
    after = await run_script(sandbox, source, fixed, LIMITS)
    assert (before.verdict, after.verdict) == (Verdict.FAILED, Verdict.PASSED)
    assert "AssertionError: -1" in before.execution.output
    assert after.execution.output == "caf\u00e9\n"


@pytest.mark.docker
@pytest.mark.parametrize(
    ("source", "verdict"),
    [
        ("import time\nassert True\ntime.sleep(60)", Verdict.TIMED_OUT),
        ("x = []\nwhile True: x.append(bytearray(10**7))\nassert x", Verdict.BROKEN),
        ("import os\nassert os.getcwd() == os.path.dirname(__file__) != '/testbed'", Verdict.PASSED),
        ("from shop.cart import TOTAL\nassert TOTAL == 3", Verdict.PASSED),
        ("open('here', 'w').write('x')\nassert open('here').read() == 'x'", Verdict.PASSED),
    ],
)
async def test_verdicts_in_the_sandbox(sandbox: Sandbox, source: str, verdict: Verdict) -> None:
    limits = Limits(seconds=3.0, memory_bytes=128 * 1024**2)
    assert (await run_script(sandbox, source, Patch(""), limits)).verdict is verdict


@pytest.mark.docker
async def test_a_script_leaves_no_trace_for_the_next(sandbox: Sandbox) -> None:
    spoil = "import os\nos.remove('/testbed/calc.py')\nassert True"
    assert (await run_script(sandbox, spoil, Patch(""), LIMITS)).verdict is Verdict.PASSED
    assert (await run_script(sandbox, spoil, Patch(""), LIMITS)).verdict is Verdict.PASSED
