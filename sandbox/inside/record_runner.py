"""Runs tests in this process and tells of each as it ends. Python 3.6 or later, standard library only.

    GIVEN TELLING KIND PROGRAM ARGUMENT...

    pytest    PROGRAM `pytest`, or `-m` for `python -m pytest`, which finds modules in the working folder
    unittest  PROGRAM a script such as Django's runtests.py, or `-m` for `python -m unittest`
    sympy     PROGRAM sympy's bin/test

`record_witness.py` starts it, gives a nonce through the pipe GIVEN and hears through TELLING. What is told is a pair:
status and name, as the parsers of SWE-bench's logs know them from the printed lines; and ["end", code] at the end.
A test's own process is where its outcome is made, so a candidate that takes the test framework apart can still lie.
"""

import importlib.abc
import json
import os
import runpy
import sys
import types
import unittest
from typing import Any, Callable, List

Tell = Callable[[str, str], None]


def teller(telling: int, nonce: bytes, write: Any = os.write, dumps: Any = json.dumps, pid: int = os.getpid()) -> Tell:
    """A function that tells. It keeps the functions that it needs, as they were before any code of the tree ran."""
    getpid = os.getpid

    def tell(status: str, name: str) -> None:
        if getpid() == pid:  # not from a process that a test forked
            data = nonce + dumps([status, name]).encode() + b"\n"
            while data:
                data = data[write(telling, data) :]

    return tell


class PytestRecorder:
    """A pytest plugin. Of each test: passed, failed in its body, or error around it; as the short summary has it."""

    def __init__(self, tell: Tell) -> None:
        self.tell = tell
        self.config: Any = None

    def pytest_configure(self, config: Any) -> None:
        self.config = config

    def name(self, nodeid: str) -> str:
        relative = getattr(self.config, "cwd_relative_nodeid", None)
        return str(relative(nodeid)) if relative is not None else nodeid

    def pytest_runtest_logreport(self, report: Any) -> None:
        expected = hasattr(report, "wasxfail")
        if report.failed:
            self.tell("FAILED" if report.when == "call" else "ERROR", self.name(report.nodeid))
        elif report.skipped and expected:
            self.tell("XFAIL", self.name(report.nodeid))
        elif report.when == "call" and report.passed:
            self.tell("XPASS" if expected else "PASSED", self.name(report.nodeid))

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.tell("ERROR", self.name(report.nodeid))


def run_pytest(program: str, arguments: List[str], tell: Tell) -> int:
    sys.argv = ["pytest"] + arguments
    sys.path[0] = os.getcwd() if program == "-m" else os.path.dirname(sys.executable)
    import pytest

    return int(pytest.main(arguments, plugins=[PytestRecorder(tell)]))


def record_unittest(tell: Tell) -> None:
    """Every result that prints the lines of `-v` tells, too; Django's and others' are made of this class."""
    base: Any = unittest.TextTestResult

    def watched(method: str, status: str) -> None:
        original = getattr(base, method)

        def wrapper(self: Any, test: Any, *args: Any, **kwargs: Any) -> Any:
            tell(status, self.getDescription(test))
            return original(self, test, *args, **kwargs)

        setattr(base, method, wrapper)

    for method, status in (
        ("addSuccess", "PASSED"),
        ("addFailure", "FAILED"),
        ("addError", "ERROR"),
        ("addSkip", "SKIPPED"),
        ("addExpectedFailure", "XFAIL"),
        ("addUnexpectedSuccess", "XPASS"),
    ):
        watched(method, status)
    original_sub = base.addSubTest

    def sub(self: Any, test: Any, subtest: Any, error: Any) -> Any:
        if error is not None:
            tell("FAILED", self.getDescription(test))
        return original_sub(self, test, subtest, error)

    base.addSubTest = sub


class SympyHook(importlib.abc.MetaPathFinder):
    """Has sympy's own reporter tell, once its module is loaded."""

    MODULES = ("sympy.testing.runtests", "sympy.utilities.runtests")

    def __init__(self, tell: Tell) -> None:
        self.tell = tell

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name not in self.MODULES:
            return None
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target) if finder is not self and hasattr(finder, "find_spec") else None
            if spec is not None and spec.loader is not None:
                self.watch(spec.loader)
                return spec
        return None

    def watch(self, loader: Any) -> None:
        load, hook = loader.exec_module, self

        def exec_module(module: types.ModuleType) -> None:
            load(module)
            reporter: Any = vars(module).get("PyTestReporter")
            if reporter is not None:
                hook.patch(reporter)

        loader.exec_module = exec_module

    def patch(self, reporter: Any) -> None:
        tell = self.tell
        for method, status in (("test_pass", "PASSED"), ("test_fail", "FAILED"), ("test_exception", "ERROR")):
            original = getattr(reporter, method)

            def wrapper(me: Any, *args: Any, _original: Any = original, _status: str = status) -> Any:
                active = getattr(me, "_active_f", None)
                if active is not None:
                    tell(_status, active.__name__)
                return _original(me, *args)

            setattr(reporter, method, wrapper)


def run_program(program: str, arguments: List[str]) -> int:
    """A script, or with `-m` a module, as its main program."""
    try:
        if program == "-m":
            sys.path[0] = os.getcwd()
            sys.argv = arguments
            runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
        else:
            sys.path[0] = os.path.dirname(os.path.abspath(program))
            sys.argv = [program] + arguments
            runpy.run_path(program, run_name="__main__")
    except SystemExit as stop:
        code: Any = stop.code
        return 0 if code is None else int(code) if isinstance(code, int) else 1
    return 0


def main() -> None:
    given, telling, kind, program = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
    arguments = sys.argv[5:]
    tell = teller(telling, os.read(given, 64))
    os.close(given)
    os.set_inheritable(telling, False)
    if kind == "pytest":
        code = run_pytest(program, arguments, tell)
    else:
        if kind == "sympy":
            sys.meta_path.insert(0, SympyHook(tell))
        else:
            record_unittest(tell)
        code = run_program(program, arguments)
    tell("end", str(code & 0xFF))
    sys.exit(code)


main()
