"""A pytest plugin that tells which of some functions each test calls.

    Python 3.6 or later, standard library and pytest only

`wanted.json` beside it holds the repository's folder and a list of functions: [path, first line, last line]. It appends
to `calls.jsonl` beside it, for each test that passed and called one: [path, name below the path, numbers of functions,
seconds]. A test with parameters tells one line for each set of them, under the same name. What is called outside tests,
while modules load, is told with null for path and name.

Code inside a function counts as that function. What a fixture calls that several tests share (a module's, a session's)
counts for all of them, though it runs for the first one only. Calls in other processes are not seen.

Where Python has `sys.monitoring` (3.12), code in other files is looked at once and then left alone. Before that a
profile function is called for each call of the process. A trace function costs as much, and would take the place of one
that measures coverage for the repository itself.
"""

import json
import os
import sys
import threading
import time

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, FrameType
    from typing import Any, Dict, Generator, List, Sequence, Set, Tuple

HERE = os.path.dirname(os.path.abspath(__file__))
OWN_TOOL = 3
"""None of the numbers of `sys.monitoring` that belong to debuggers, coverage, profilers and optimizers."""


class Watch:
    """Notes calls of the wanted functions, in `called`."""

    def __init__(self, root: str, wanted: "List[Tuple[str, int, int]]") -> None:
        self.root = os.path.realpath(root)
        self.files: "Dict[str, List[Tuple[int, int, int]]]" = {}
        for number, (path, first, last) in enumerate(wanted):
            self.files.setdefault(os.path.join(self.root, path), []).append((number, first, last))
        self.known: "Dict[str, Sequence[Tuple[int, int, int]]]" = {}
        self.called: "Set[int]" = set()
        self.testing = False
        self.bad = False

    def begins(self, code: "CodeType") -> bool:
        """Note that code begins to run; whether it is that of a wanted function."""
        name = code.co_filename
        if name not in self.known:
            self.known[name] = self.files.get(os.path.realpath(name), ())
        for number, first, last in self.known[name]:
            if first <= code.co_firstlineno <= last and code.co_name != "<module>":  # which begins in line 1 as well
                # A decorator's inner function is called when tests call what it decorates.
                if self.testing or code.co_firstlineno == first:
                    self.called.add(number)
                return True
        return False

    def profile(self, frame: "FrameType", event: str, _: "Any") -> None:
        if event == "call":
            self.begins(frame.f_code)

    def start(self) -> None:
        monitoring: "Any" = getattr(sys, "monitoring", None)
        if monitoring is None:
            self.keep()
            return

        def begun(code: "CodeType", _: int) -> "Any":
            return None if self.begins(code) else monitoring.DISABLE

        monitoring.use_tool_id(OWN_TOOL, "bestpatch")
        monitoring.register_callback(OWN_TOOL, monitoring.events.PY_START, begun)
        monitoring.set_events(OWN_TOOL, monitoring.events.PY_START)

    def keep(self) -> None:
        """A test may have taken the profile function away."""
        if not hasattr(sys, "monitoring") and sys.getprofile() is None:
            sys.setprofile(self.profile)
            threading.setprofile(self.profile)


with open(os.path.join(HERE, "wanted.json"), encoding="utf-8") as file:
    watch = Watch(*json.load(file))
# Opened now and appended to: tests change the working folder, and processes of pytest-xdist share the file.
out = os.open(os.path.join(HERE, "calls.jsonl"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
shared: "Dict[str, Set[int]]" = {}
"""What fixtures called that several tests share, by their names."""


def tell(path: "Any", name: "Any", numbers: "Set[int]", seconds: float) -> None:
    if numbers:
        os.write(out, (json.dumps([path, name, sorted(numbers), round(seconds, 4)]) + "\n").encode("ascii"))


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: "Any") -> "Generator[None, Any, None]":
    outside, watch.called = watch.called, set()
    watch.testing, watch.bad = True, False
    watch.keep()
    began = time.time()
    yield
    seconds = time.time() - began
    called, watch.called = watch.called, outside
    watch.testing = False
    for name in getattr(item, "fixturenames", ()):
        called |= shared.get(name, set())
    if not watch.bad:
        path = os.path.realpath(str(getattr(item, "path", None) or item.fspath))
        name = item.nodeid.partition("::")[2].partition("[")[0]
        tell(os.path.relpath(path, watch.root), name, called, seconds)


@pytest.hookimpl(hookwrapper=True)
def pytest_fixture_setup(fixturedef: "Any") -> "Generator[None, Any, None]":
    if fixturedef.scope == "function":
        yield
        return
    before, watch.called = watch.called, set()
    yield
    shared.setdefault(fixturedef.argname, set()).update(watch.called)
    watch.called |= before


def pytest_runtest_logreport(report: "Any") -> None:
    if not report.passed:
        watch.bad = True


def pytest_sessionfinish() -> None:
    tell(None, None, watch.called, 0.0)


watch.start()
