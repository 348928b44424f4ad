"""Regressions: which of the repository's own tests that passed before does each class break?

The tests run twice on the unedited tree; those that passed both times are the baseline, those that did not agree with
themselves are flaky and say nothing. A run between the two tells which tests call what the patches change: of these a
few are what runs the second time and on the classes (`calls_of_tests`). Before a class is tested, every test file of
the base commit that its patch touches is put back, so that a patch cannot pass by editing the tests (42 of 61
leaderboard systems edited some); so is every file that steers a test run, and those that the base commit does not have
are taken out.
A class that breaks a baseline test is vetoed, unless all do: then those that break the fewest stay, since a test that
every fix breaks is more likely a test of the bug (Agentless 1.5 falls back the same way).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from pathlib import PurePosixPath

import anyio

from agent.task import Task
from agent.trajectory import Recorder
from sandbox.base import UNEDITED, Patch, RepoPath, Sandbox, Tree
from sandbox.errors import PatchRejected, SandboxLost, SandboxTimeout, WorkspaceError
from sandbox.patch import check_patch
from selection.base import ClassId, PatchClass, Regressions
from selection.calls_of_tests import FEWEST, Calling, few, only, tests_that_call
from selection.execute import retried, side_by_side
from selection.repository_tests import TestCommand, TestRun, find_command, is_test_file, narrowed, run_tests
from selection.steering import steering, steers
from selection.touched import lines_to_call

FEW = (8, 2)
"""Test files that run where the whole suite does not fit; the second number where the first does not fit either."""

MANY = 250
"""Test files beyond which the whole suite is not tried where a few can run: it takes many minutes in Django and sympy,
and trying it costs as much as all classes."""

NO_END = "the tests did not end"
"""Stands among the broken tests for a run that never ended where the unedited tree's did."""

CONTRADICTED = "the tests' exit code contradicts their report"
"""Stands among the broken tests for a run whose report says what its exit code denies, or the other way round."""


async def regressions(
    task: Task,
    tree: Tree,
    classes: Sequence[PatchClass],
    sandbox: Sandbox,
    seconds: float,
    parallel: int,
    recorder: Recorder,
) -> Regressions:
    """Run the repository's tests on the unedited tree twice and on each class once, within about `seconds` in all.

    Where it is known which tests call what the patches change, a few of these run the second time and on the classes.
    Where the whole suite does not fit, only a few test files run, those first whose name or imports are a touched
    module's, and fewer still where these do not fit. Nothing to run, or a sandbox
    that stays lost, gives an empty record whose note says why.
    """
    touched = {c.id: touched_files(c.patch) for c in classes}
    try:
        return await _measured(task, tree, classes, touched, sandbox, seconds, parallel, recorder)
    except (SandboxLost, SandboxTimeout) as error:
        return Regressions("", (), (), {}, f"The repository's tests could not be run: the sandbox was lost ({error}).")


async def _measured(
    task: Task,
    tree: Tree,
    classes: Sequence[PatchClass],
    touched: Mapping[ClassId, tuple[RepoPath, ...]],
    sandbox: Sandbox,
    seconds: float,
    parallel: int,
    recorder: Recorder,
) -> Regressions:
    async with sandbox.workspace() as workspace:
        command = await find_command(task, tree, sandbox, workspace)
    if isinstance(command, str):
        return Regressions("", (), (), {}, command)
    # Two runs of the unedited tree and one of each class share the budget, `parallel` at a time.
    share = max(5.0, seconds * max(1, parallel) / (2 + len(classes)))
    notes: list[str] = []
    recorder.stage("regression", 0, 2 + len(classes))
    large = narrowed(command, [RepoPath("any")]) is not None and sum(map(_holds_tests, tree)) > MANY
    whole = command
    first = TestRun(None, 0.0) if large else await _run(command, sandbox, UNEDITED, {}, share)
    if first.passed is None:
        files = relevant_tests(tree, [path for paths in touched.values() for path in paths])
        why = f"has more than {MANY} files" if large else f"takes longer than {share:.0f} s"
        some = files
        for some in (files[:most] for most in FEW):
            fewer = narrowed(whole, some)
            if fewer is None:
                return Regressions(command.shown, (), (), {}, f"The whole suite {why}: not used.")
            command, first = fewer, await _run(fewer, sandbox, UNEDITED, {}, share)
            if first.passed is not None:
                break
        notes.append(f"The whole suite {why}: only {_files(len(some))} relevant ran.")
    recorder.stage("regression", 1, 2 + len(classes))
    if first.passed is None:
        return Regressions(command.shown, (), (), {}, " ".join([*notes, "That too did not end in time: not used."]))
    # What is left if every run takes as long as the first: the run that tells the calls may take no other's time.
    spare = min(share, (share - first.seconds) * (2 + len(classes)))
    tests = await _calling(whole, command, tree, classes, sandbox, spare) if spare > first.seconds else ()
    pair = await _pair(only(whole, tests), first, sandbox, share) if tests else None
    if pair is None:
        second = await _run(command, sandbox, UNEDITED, {}, share)
    else:
        command, first, second = pair
        notes.append(f"Only {len(tests)} tests that call what the candidates change ran on them.")
    recorder.stage("regression", 2, 2 + len(classes))
    before, again = first.passed or {}, second.passed or {}
    passing = tuple(sorted(name for name, ok in before.items() if ok and again.get(name, False)))
    flaky = tuple(sorted(name for name in {*before, *again} if before.get(name) != again.get(name)))
    if not passing:
        notes.append("No test passed twice on the unedited tree.")
        return Regressions(command.shown, (), flaky, {}, " ".join(notes))

    broken: dict[ClassId, tuple[str, ...]] = {}
    limiter = anyio.CapacityLimiter(max(1, parallel))

    async def measure(patch_class: PatchClass) -> None:
        protected = {path: tree.get(path) for path in touched[patch_class.id] if is_protected(path, tree)}
        async with limiter:
            try:
                # Three times the baseline, and a start-up's worth: a slow neighbour is no regression. Never less than
                # its share, for tests that break at once on the unedited tree may take their time with a right fix.
                long = max(share, 3 * first.seconds + 10)
                run = await _run(command, sandbox, patch_class.patch, protected, long)
            except PatchRejected:
                return  # the matrix has said so already
        outcome = run.passed
        if outcome is None:
            # Where most tests break at once on the unedited tree, a right fix runs for the first time, and for longer.
            broken[patch_class.id] = (NO_END,) if 2 * len(passing) >= len(before) else ()
        elif first.agrees and not run.agrees:
            broken[patch_class.id] = (CONTRADICTED,)
        else:
            broken[patch_class.id] = tuple(name for name in passing if not outcome.get(name, False))
        recorder.stage("regression", 2 + len(broken), 2 + len(classes))

    await side_by_side(partial(measure, patch_class) for patch_class in classes)
    for patch_class in classes:
        if files := steering(touched[patch_class.id]):
            notes.append(f"Class {patch_class.id} touches {', '.join(files)}, which can steer a test run: set aside.")
    ordered = {c.id: broken[c.id] for c in classes if c.id in broken}
    return Regressions(command.shown, passing, flaky, ordered, " ".join(notes))


async def _calling(
    whole: TestCommand,
    command: TestCommand,
    tree: Tree,
    classes: Sequence[PatchClass],
    sandbox: Sandbox,
    seconds: float,
) -> tuple[Calling, ...]:
    """The few tests to run on the classes; () where all do."""
    functions = lines_to_call([c.patch for c in classes], tree)
    if not functions or narrowed(whole, [RepoPath("any")]) is None:
        return ()
    return few(await tests_that_call(functions, command, tree, sandbox, seconds))


async def _pair(
    command: TestCommand | None, first: TestRun, sandbox: Sandbox, seconds: float
) -> tuple[TestCommand, TestRun, TestRun] | None:
    """The baseline of these tests: their part of the first run, and a run of theirs alone. None where that gives fewer
    than `FEWEST` that passed twice: they may be called by another name, or need those that are left out."""
    if command is None or first.passed is None:
        return None
    second = await _run(command, sandbox, UNEDITED, {}, seconds)
    if second.passed is None:
        return None
    part = {name: first.passed[name] for name in second.passed if name in first.passed}
    if sum(part[name] and second.passed[name] for name in part) < FEWEST:
        return None
    return command, TestRun(part, second.seconds, second.agrees), second


async def _run(
    command: TestCommand, sandbox: Sandbox, patch: Patch, restore: Mapping[RepoPath, bytes | None], seconds: float
) -> TestRun:
    """`restore`: what these files hold in the base commit; None: it has no such file."""
    added = sorted(path for path, content in restore.items() if content is None)

    async def once() -> TestRun:
        async with sandbox.workspace(patch) as workspace:
            if added:
                await workspace.run(["rm", "-rf", "--", *added])
            for path, content in restore.items():
                if content is None:
                    continue
                try:
                    await workspace.write(path, content)
                except WorkspaceError:
                    # The patch made something else of the path (a folder, a link): its tests fail, as they should.
                    continue
            return await run_tests(command, workspace, seconds)

    return await retried(once)


def _holds_tests(path: str) -> bool:
    """Whether a file is a test by its name, and none that tests read or import."""
    return path.endswith(".py") and is_test_file(path) and PurePosixPath(path).name.startswith("test")


def _files(count: int) -> str:
    return "a file that looks" if count == 1 else f"{count} files that look"


def vetoes(found: Regressions, classes: Sequence[ClassId]) -> tuple[dict[ClassId, str], str]:
    """The classes that their regressions rule out, with the reason, and a note when the veto had to fall back."""
    counts = {c: len(found.broken.get(c, ())) for c in classes}
    least = min(counts.values(), default=0)
    out = {c: _reason(found.broken[c]) for c in classes if counts[c] > least}
    note = ""
    if least > 0:
        note = f"Every candidate breaks tests that passed before; those that break the fewest ({least}) stay."
    return out, note


def _reason(broken: tuple[str, ...]) -> str:
    if broken == (NO_END,):
        return "the repository's tests do not end with it"
    if broken == (CONTRADICTED,):
        return "the exit code of the repository's tests contradicts their report with it"
    more = f" and {len(broken) - 2} more" if len(broken) > 2 else ""
    return f"it breaks {len(broken)} of the tests that passed before: {', '.join(broken[:2])}{more}"


def touched_files(patch: Patch) -> tuple[RepoPath, ...]:
    """The paths that a patch changes, adds or removes; () where it cannot be read."""
    try:
        return check_patch(patch)
    except PatchRejected:
        return ()


def is_protected(path: RepoPath, tree: Tree) -> bool:
    """Whether a class is tested with what the base commit has at this path, be it nothing.

    A new file in a tests folder may be a module that the fix needs; only one that is collected by its name goes.
    """
    name = PurePosixPath(path).name
    return steers(path) or (is_test_file(path) if path in tree else fnmatchcase(name, "test_*.py"))


def relevant_tests(tree: Tree, touched: Sequence[RepoPath]) -> tuple[RepoPath, ...]:
    """Test files about a touched module, best first: named after it, importing it, in a place named so, naming it."""
    modules = [path for path in dict.fromkeys(touched) if path.endswith(".py") and not is_test_file(path)]
    words = sorted({_module_word(path) for path in modules} - {""})
    if not words:
        return ()
    named = re.compile(rb"\b(" + b"|".join(re.escape(word.encode()) for word in words) + rb")\b")
    imports = re.compile(b"|".join(_imports(path) for path in modules))
    names = {name for word in words for name in (f"test_{word}", f"{word}_test", f"tests_{word}")}
    found: list[tuple[int, RepoPath]] = []
    for path in sorted(tree):
        parts = PurePosixPath(path)
        if parts.suffix != ".py" or not is_test_file(path) or parts.name in ("conftest.py", "__init__.py"):
            continue
        text = tree[path]
        about = (
            parts.stem in names,
            imports.search(text),
            any(word in name for word in words for name in parts.with_suffix("").parts[-2:]),
            named.search(text),
        )
        if any(about):
            first = next(rank for rank, holds in enumerate(about) if holds)
            found.append((first if _TESTS.search(text) else len(about), path))  # what tests import goes last
    return tuple(path for _, path in sorted(found))


_TESTS = re.compile(rb"^\s*(?:async )?def test|^class \w*Test", re.MULTILINE)


def _imports(path: str) -> bytes:
    """A pattern of what imports a module: `import a.b`, `from a.b import`, `from a import b`."""
    parts = PurePosixPath(path.removeprefix("src/").removeprefix("lib/")).with_suffix("").parts
    parts = parts[:-1] if parts[-1] == "__init__" else parts
    whole = re.escape(".".join(parts).encode())
    above, last = re.escape(".".join(parts[:-1]).encode()), re.escape("".join(parts[-1:]).encode())
    return rb"\b(?:import|from) " + whole + rb"\b|\bfrom " + above + rb" import [^\n]*\b" + last + rb"\b"


def _module_word(path: str) -> str:
    parts = PurePosixPath(path)
    return parts.parent.name if parts.stem == "__init__" else parts.stem
