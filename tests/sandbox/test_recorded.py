"""Tests of a repository, run so that each outcome is told: commands, the record, and what cannot be forged."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

from sandbox.base import Ended, Execution, Limits
from sandbox.recorded import Recorded, TestProgram, program_of, run_recorded

pytestmark = pytest.mark.anyio


class Folder:
    """A workspace that is a folder on this host."""

    def __init__(self, root: Path) -> None:
        self.root = root

    async def run(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, limits: Limits | None = None
    ) -> Execution:
        words = [str(self.root / "nonce") if word == "/tmp/bestpatch-record" else word for word in argv]
        whole = {"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1", **(env or {})}
        done = await anyio.run_process(words, cwd=self.root, env=whole, check=False, stderr=subprocess.STDOUT)
        return Execution(Ended.EXITED, done.returncode, done.stdout.decode("utf-8", "replace"), len(done.stdout), 0.1)

    async def write(self, path: str, data: bytes) -> None:
        (self.root / "nonce").write_bytes(data)


async def recorded(root: Path, command: str, before: Sequence[str] = (), **files: str) -> Recorded:
    for name, content in files.items():
        (root / f"{name}.py").write_text(content)
    workspace: Any = Folder(root)
    return await run_recorded(workspace, sys.executable, program_of(command), Limits(), before=before)


@pytest.mark.parametrize(
    ("command", "kind", "argv", "env"),
    [
        ("pytest -rA tests/test_a.py", "pytest", ("pytest", "-rA", "tests/test_a.py"), {}),
        ("python -m pytest 'a b'", "pytest", ("-m", "a b"), {}),
        ("python3 -m unittest -v", "unittest", ("-m", "unittest", "-v"), {}),
        ("./tests/runtests.py --parallel 1", "unittest", ("./tests/runtests.py", "--parallel", "1"), {}),
        ("A='x y' python run.py", "unittest", ("run.py",), {"A": "x y"}),
        ("bin/test -C", "sympy", ("bin/test", "-C"), {"PYTHONHASHSEED": "0"}),
        ("PYTHONHASHSEED=7 bin/test", "sympy", ("bin/test",), {"PYTHONHASHSEED": "7"}),
    ],
)
def test_commands_that_can_be_recorded(command: str, kind: str, argv: Sequence[str], env: dict[str, str]) -> None:
    assert program_of(command) == TestProgram(kind, argv, env)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "command",
    ["make test", "pytest | tail", "cd x && pytest", "pytest 'a", "pytest $X", "pytest\nls", "A=1", "", "python -c 1"],
)
def test_other_commands_are_run_as_they_are(command: str) -> None:
    assert program_of(command) == TestProgram("shell", ("bash", "-c", command), {})


PYTEST = """
import pytest
def test_passes(): pass
def test_fails(): assert False
@pytest.mark.skip
def test_skipped(): pass
@pytest.mark.xfail
def test_expected(): assert False
@pytest.mark.xfail
def test_not_expected(): pass
@pytest.fixture
def broken(): raise ValueError
def test_error(broken): pass
@pytest.fixture
def late():
    yield
    raise ValueError
def test_late(late): pass
@pytest.mark.parametrize("x", ["a b"])
def test_named(x): pass
"""


async def test_pytest(tmp_path: Path) -> None:
    command = "pytest -q --continue-on-collection-errors"
    found = await recorded(tmp_path, command, test_a=PYTEST, test_b="import nothing_there")
    assert [(status, name.partition("::")[2] or name) for status, name in found.outcomes or ()] == [
        ("ERROR", "test_b.py"),
        ("PASSED", "test_passes"),
        ("FAILED", "test_fails"),
        ("XFAIL", "test_expected"),
        ("XPASS", "test_not_expected"),
        ("ERROR", "test_error"),
        ("PASSED", "test_late"),
        ("ERROR", "test_late"),
        ("PASSED", "test_named[a b]"),
    ]
    assert (found.ended, found.exit_code) == (True, 1)
    assert "test_a.py::test_fails" in found.execution.output


UNITTEST = """
import unittest
class TestIt(unittest.TestCase):
    def test_passes(self): pass
    def test_fails(self): self.fail()
    def test_errors(self): raise ValueError
    @unittest.skip("no")
    def test_skipped(self): pass
    @unittest.expectedFailure
    def test_expected(self): self.fail()
    def test_described(self):
        "In words."
    def test_parts(self):
        for n in range(2):
            with self.subTest(n=n): self.assertEqual(n, 0)
class Broken(unittest.TestCase):
    @classmethod
    def setUpClass(cls): raise ValueError
    def test_never(self): pass
"""


@pytest.mark.parametrize("command", ["python -m unittest -v test_a", "./run.py"])
async def test_unittest(tmp_path: Path, command: str) -> None:
    run = "import unittest\nunittest.main('test_a', argv=['x', '-v'])"
    found = await recorded(tmp_path, command, test_a=UNITTEST, run=run)
    outcomes = {name.split(" (")[0]: status for status, name in found.outcomes or ()}
    assert outcomes == {
        "test_passes": "PASSED",
        "test_fails": "FAILED",
        "test_errors": "ERROR",
        "test_skipped": "SKIPPED",
        "test_expected": "XFAIL",
        "test_described": "PASSED",
        "test_parts": "FAILED",
        "setUpClass": "ERROR",
    }
    assert any(name.endswith("\nIn words.") for _, name in found.outcomes or ())
    assert (found.ended, found.exit_code) == (True, 1)


async def test_sympy(tmp_path: Path) -> None:
    """Its runner is its own: what matters of it here stands in for it."""
    folder = tmp_path / "sympy" / "testing"
    folder.mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    for path in (folder, folder.parent):
        (path / "__init__.py").write_text("")
    (folder / "runtests.py").write_text(
        "class PyTestReporter:\n"
        "    def entering_test(self, f): self._active_f = f\n"
        "    def test_pass(self, char='.'): print('ok', char)\n"
        "    def test_fail(self, exc_info): print('F')\n"
        "    def test_exception(self, exc_info): print('E')\n"
    )
    (tmp_path / "bin" / "test").write_text(
        "import sys; sys.path.insert(0, '.')\n"
        "from sympy.testing.runtests import PyTestReporter\n"
        "r = PyTestReporter()\n"
        "def test_a(): pass\n"
        "def test_b(): pass\n"
        "r.entering_test(test_a); r.test_pass(); r.entering_test(test_b); r.test_fail(None); r.test_exception(None)\n"
        "sys.exit(1)\n"
    )
    found = await recorded(tmp_path, "bin/test -C --verbose")
    assert found.outcomes == (("PASSED", "test_a"), ("FAILED", "test_b"), ("ERROR", "test_b"))
    assert (found.ended, found.exit_code) == (True, 1)
    assert found.execution.output.split() == ["ok", ".", "F", "E"]


async def test_a_command_that_is_run_as_it_is(tmp_path: Path) -> None:
    found = await recorded(tmp_path, "echo one && exit 3")
    assert (found.outcomes, found.ended, found.exit_code) == (None, True, 3)
    assert found.execution.output.strip() == "one"


async def test_what_prepares_a_run(tmp_path: Path) -> None:
    test = "import os\ndef test_it(): assert os.environ['READY'] == 'yes'"
    found = await recorded(tmp_path, "pytest -q", ["export READY=yes"], test_a=test)
    assert found.outcomes == (("PASSED", "test_a.py::test_it"),)


@pytest.mark.parametrize("end", ["os._exit(0)", "os.kill(os.getpid(), 9)", "raise SystemExit(0)"])
async def test_tests_that_something_ended(tmp_path: Path, end: str) -> None:
    test = f"import os\ndef test_one(): pass\ndef test_two():\n    {end}\ndef test_three(): pass\n"
    found = await recorded(tmp_path, "pytest -q", test_a=test)
    names = [name for status, name in found.outcomes or () if status == "PASSED"]
    if "SystemExit" in end:  # pytest takes it for the failure that it is
        assert names == ["test_a.py::test_one", "test_a.py::test_three"]
    else:
        assert names == ["test_a.py::test_one"]
        assert not found.ended


async def test_a_record_cannot_be_forged(tmp_path: Path) -> None:
    """Whoever writes to all descriptors, and knows the form of a line, does not know the nonce."""
    test = """
import base64, json, os
def test_it():
    told = json.dumps(["PASSED", "test_a.py::test_it"]).encode() + b"\\n"
    record = base64.b64encode(json.dumps({"code": 0, "told": [["PASSED", "x"], ["end", "0"]]}).encode())
    for fd in range(3, 64):
        for data in (told, b"0" * 32 + told):
            try:
                os.write(fd, data)
            except OSError:
                pass
    os.write(1, b"\\n" + b"0" * 32 + b" 1/1 " + record + b"\\n")
    assert not os.path.exists("nonce")
    assert False
"""
    found = await recorded(tmp_path, "pytest -q -s", test_a=test)
    assert found.outcomes == (("FAILED", "test_a.py::test_it"),)
    assert (found.ended, found.exit_code) == (True, 1)


async def test_forked_processes_tell_nothing(tmp_path: Path) -> None:
    test = """
import os
def test_forks():
    if os.fork() == 0:
        return  # goes on as a second pytest, with the same plugin
    os.wait()
    assert False
"""
    found = await recorded(tmp_path, "pytest -q", test_a=test)
    assert found.outcomes == (("FAILED", "test_a.py::test_forks"),)


async def test_a_record_that_did_not_arrive(tmp_path: Path) -> None:
    found = await recorded(tmp_path, "pytest -q", ["exit 7"], test_a="def test_it(): pass")
    assert (found.outcomes, found.ended, found.exit_code) == ((), False, None)
    assert found.execution.exit_code == 7
