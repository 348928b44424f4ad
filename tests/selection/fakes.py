"""Fakes for the tests of selection: an in-memory sandbox whose repository is one module, and a recorder that lists.

The repository holds `m.py` with one line, `x = 0`. A patch sets x to another value. A test script is Python that is
executed with x bound to what `m.py` says; what it prints is its output. No container, no process.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from xml.sax.saxutils import quoteattr

import anyio.lowlevel

from agent.context.gather import Context
from agent.task import Task, TaskId
from agent.trajectory import Candidate, CandidateId, ScriptId, TestScript, Turn
from sandbox.base import UNEDITED, Changes, Ended, Execution, ImageName, Limits, Patch, RepoPath, Tree
from sandbox.errors import PatchRejected, WorkspaceError
from sandbox.script import ScriptRun, Verdict
from selection.base import ClassId, PatchClass
from selection.calls_of_tests import CALLS

MODULE = RepoPath("m.py")
BAD = Patch("this is no diff\n")


def patch_to(value: object, comment: str = "") -> Patch:
    """The diff that makes x another value."""
    lines = [f"+# {comment}"] if comment else []
    lines.append(f"+x = {value}")
    body = "\n".join(lines)
    return Patch(f"diff --git a/m.py b/m.py\n--- a/m.py\n+++ b/m.py\n@@ -1 +1,{len(lines)} @@\n-x = 0\n{body}\n")


def candidate(name: str, patch: Patch, script: TestScript | None = None, *, passes: bool = True) -> Candidate:
    return Candidate(CandidateId(f"candidate-{name}"), patch, script, f"trajectory-{name}", passes)


def patch_class(name: str, patch: Patch, members: int = 1, authors: Sequence[str] = ()) -> PatchClass:
    names = authors or [f"{name}-{number}" for number in range(members)]
    return PatchClass(ClassId(name), patch, tuple(candidate(author, patch) for author in names))


def make_script(
    name: str, source: str, verdict: Verdict = Verdict.FAILED, *, valid: bool = True, author: str | None = None
) -> TestScript:
    run = ScriptRun(verdict, Execution(Ended.EXITED, 2 if verdict is Verdict.FAILED else 0, "", 0, 0.1))
    return TestScript(ScriptId(f"script-{name}"), source, valid, f"trajectory-{author or 'script-' + name}", run)


def task(test_command: str | None = None, issue: str = "x must be 1") -> Task:
    return Task(TaskId("t"), issue, "demo", "0" * 40, ImageName("none"), test_command=test_command)


def context(tree: Tree | None = None) -> Context:
    return Context("m.py:\nx = 0\n", (MODULE,), tree if tree is not None else {MODULE: b"x = 0\n"}, "")


class ListRecorder:
    """Keeps what happened, for tests to look at."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self.stages: list[tuple[str, int, int]] = []
        self.notes: list[tuple[str, dict[str, object]]] = []

    def turn(self, turn: Turn) -> None:
        self.turns.append(turn)

    def stage(self, stage: str, done: int, total: int) -> None:
        self.stages.append((stage, done, total))

    def note(self, kind: str, detail: dict[str, object]) -> None:
        self.notes.append((kind, detail))


Suite = Callable[[Mapping[RepoPath, bytes], int], Mapping[str, bool | None] | None]
"""From the tree and the number of the run to outcomes by test name (None: skipped); None: it does not end."""


class FakeSandbox:
    """An in-memory sandbox. `stumbles` are raised by the next executions, one each; `runs` counts executed pairs."""

    digest = "fake"
    base_image = ""
    python = "python"

    def __init__(self, files: Tree | None = None, suite: Suite | None = None) -> None:
        self.files: dict[RepoPath, bytes] = dict(files) if files is not None else {MODULE: b"x = 0\n"}
        self.suite = suite
        self.stumbles: list[Exception] = []
        self.runs: list[tuple[str, Patch]] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.suite_runs = 0
        self.argvs: list[tuple[str, ...]] = []
        self.pytest = True
        self.seconds = 0.5
        self.exit_code: Callable[[Mapping[RepoPath, bytes], int], int] = lambda files, honest: honest
        """From the tree and the exit code that goes with the outcomes to the one that the suite ends with."""
        self.calls: bytes | None = None
        """What the plugin tells that records which tests call what; None: it tells nothing."""

    def patched(self, patch: Patch) -> dict[RepoPath, bytes]:
        files = dict(self.files)
        if patch == UNEDITED:
            return files
        if not patch.startswith("diff --git"):
            raise PatchRejected("corrupt patch at line 1")
        for part in patch.split("diff --git ")[1:]:
            path = RepoPath(re.search(r"^\+\+\+ b/(.*)$", part, re.MULTILINE)[1])  # type: ignore[index]
            added = [line[1:] for line in part.splitlines() if line.startswith("+") and not line.startswith("+++")]
            files[path] = "".join(f"{line}\n" for line in added).encode()
        return files

    async def script(self, source: str, patch: Patch) -> ScriptRun:
        """What `sandbox.script.run_script` is for a real one."""
        self.runs.append((source, patch))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await anyio.lowlevel.checkpoint()
            if self.stumbles:
                raise self.stumbles.pop(0)
            return self._executed(source, self.patched(patch))
        finally:
            self.in_flight -= 1

    def _executed(self, source: str, files: Mapping[RepoPath, bytes]) -> ScriptRun:
        names: dict[str, object] = {"__name__": "script"}
        output = io.StringIO()
        verdict, code = Verdict.PASSED, 0
        exec(files[MODULE].decode(), names)
        source = re.sub(r"^(from m import .*|import m)$", "pass", source, flags=re.MULTILINE)
        with contextlib.redirect_stdout(output):
            try:
                exec(source, names)
            except AssertionError:
                verdict, code = Verdict.FAILED, 2
            except Exception as error:
                verdict, code = Verdict.BROKEN, 1
                print(repr(error), file=output)
        text = output.getvalue()
        return ScriptRun(verdict, Execution(Ended.EXITED, code, text, len(text), 0.01))

    @asynccontextmanager
    async def workspace(self, patch: Patch = UNEDITED) -> AsyncIterator[FakeWorkspace]:
        if self.stumbles:
            raise self.stumbles.pop(0)
        yield FakeWorkspace(self, self.patched(patch))

    async def tree(self) -> Tree:
        return dict(self.files)

    async def make_patch(self, changes: Changes) -> Patch:
        raise AssertionError("selection makes no patches")

    async def close(self) -> None:
        return None


class FakeWorkspace:
    """A workspace that knows one command: the test suite."""

    repository = "/repo"

    def __init__(self, sandbox: FakeSandbox, files: dict[RepoPath, bytes]) -> None:
        self._sandbox = sandbox
        self.files = files
        self._outside: dict[str, bytes] = {}

    async def run(
        self,
        argv: Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        limits: Limits | None = None,
    ) -> Execution:
        self._sandbox.argvs.append(tuple(argv))
        if argv[0] == "rm":
            for path in argv[argv.index("--") + 1 :]:
                self.files.pop(RepoPath(path), None)
            return self._ended(0, "")
        if argv[0] == "sh" and CALLS.rpartition("/")[0] in argv[2] and self._sandbox.calls is not None:
            self._outside[CALLS] = self._sandbox.calls
        if argv[-1] == "--version":
            return self._ended(0 if self._sandbox.pytest else 1, "")
        assert self._sandbox.suite is not None
        self._sandbox.suite_runs += 1
        outcomes = self._sandbox.suite(self.files, self._sandbox.suite_runs)
        if "--" in argv and outcomes is None:
            outcomes = {f"{path}::t": True for path in argv[argv.index("--") + 1 :]}
        if outcomes is None:
            return Execution(Ended.TIMED_OUT, None, "", 0, limits.seconds if limits else 0.0)
        code = self._sandbox.exit_code(self.files, int(any(ok is False for ok in outcomes.values())))
        options = [*argv, *(env or {}).get("PYTEST_ADDOPTS", "").split()]
        for option in options:
            if option.startswith("--junitxml=") and self._sandbox.pytest:
                self._outside[option.removeprefix("--junitxml=")] = junit(outcomes)
        words = {True: "ok", False: "FAIL", None: "skipped 'why'"}
        return self._ended(code, "".join(f"{name} ... {words[ok]}\n" for name, ok in outcomes.items()))

    def _ended(self, code: int, output: str) -> Execution:
        return Execution(Ended.EXITED, code, output, len(output), self._sandbox.seconds)

    async def write(self, path: str, data: bytes) -> None:
        self.files[RepoPath(path)] = data

    async def read(self, path: str) -> bytes:
        try:
            return self._outside[path]
        except KeyError:
            raise WorkspaceError(path) from None

    async def diff(self) -> Patch:
        return UNEDITED


def junit(outcomes: Mapping[str, bool | None]) -> bytes:
    cases = {
        True: "<testcase classname={0} name={1} />",
        False: "<testcase classname={0} name={1}><failure message='no'>trace</failure></testcase>",
        None: "<testcase classname={0} name={1}><skipped /></testcase>",
    }
    rows = "".join(
        cases[ok].format(*(quoteattr(part) for part in name.rpartition("::")[::2])) for name, ok in outcomes.items()
    )
    return f'<?xml version="1.0"?><testsuites><testsuite name="pytest">{rows}</testsuite></testsuites>'.encode()
