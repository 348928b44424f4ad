"""Whether the repository's own packages can be imported in its environment. Where not, every test script breaks.

An environment can build and yet not work: an old commit with the newest versions of what it needs is the usual case.
Known before the first trajectory, that costs a user seconds; found in the transcripts afterwards, it costs the run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from sandbox.base import UNEDITED, Limits, Sandbox, Tree
from sandbox.script import Verdict
from selection.execute import execute

_NO_PACKAGES = frozenset(
    {"benchmark", "benchmarks", "doc", "docs", "example", "examples", "script", "scripts", "test", "testing", "tests"}
)
_FOR_TOOLS = frozenset({"conftest", "noxfile", "setup", "tasks"})
_SCRIPT = """\
import importlib, sys
failed = 0
for name in {names!r}:
    try:
        importlib.import_module(name)
    except BaseException as error:
        failed = 2
        print("%s: %s: %s" % (name, type(error).__name__, " ".join(str(error).split())[:300]))
sys.stdout.flush()
sys.exit(failed)
"""
_MOST = 5
_SECONDS = 60.0

_AT_LEAST = 5.0
_TIMES = 20.0
"""A script may take so many seconds, and so many times what the import took."""

_CPU_AT_LEAST = 1.0
_CPU_TIMES = 10.0
"""Of processor time, which nothing else on the machine uses up: so much, or so many times what the import took."""


@dataclass(frozen=True)
class Importable:
    """What the import of the repository's packages, or its modules, showed."""

    warnings: tuple[str, ...] = ()
    """A sentence for each package that cannot be imported."""
    seconds: float | None = None
    """What it took; None where there was nothing to import, or not all of it could be: then that says little."""

    def deadline(self, limits: Limits) -> Limits:
        """The limits with a deadline for a test script, by what the import took, and never later than theirs.

        A script checks one issue, and works about as long as the import does. One that never ends is no rarity: the bug
        may be just that, and an edit or a script has one easily. See docs/decisions/0014-deadline-of-scripts.md.
        """
        if self.seconds is None:
            return limits
        seconds = min(limits.seconds, _AT_LEAST + _TIMES * self.seconds)
        cpu = min(limits.seconds, max(_CPU_AT_LEAST, _CPU_TIMES * self.seconds))
        return replace(limits, seconds=seconds, cpu_seconds=math.ceil(cpu))


def packages(tree: Tree) -> tuple[str, ...]:
    """The packages at the root and in `src`, by their folders' names; not those for tests and documentation."""
    found: set[str] = set()
    for path in tree:
        parts = path.split("/")
        name = parts[-2] if len(parts) > 1 else ""
        at_top = len(parts) == 2 or (len(parts) == 3 and parts[0] == "src")
        if parts[-1] == "__init__.py" and at_top and name.isidentifier() and name not in _NO_PACKAGES:
            found.add(name)
    return tuple(sorted(found))[:_MOST]


def modules(tree: Tree) -> tuple[str, ...]:
    """The modules at the root, those for tools not among them; none where packages lie deeper, for these count then."""
    if any(path.endswith("/__init__.py") and path.split("/")[0] not in _NO_PACKAGES for path in tree):
        return ()
    names = (path.removesuffix(".py") for path in sorted(tree) if path.endswith(".py"))
    return tuple(name for name in names if name.isidentifier() and name not in _FOR_TOOLS)[:_MOST]


async def try_import(sandbox: Sandbox, tree: Tree, limits: Limits) -> Importable:
    """Imports the packages, or else the modules at the root, which may fail: they may be programs.

    That an import fails is no error of the run's: the issue may be just that.

    Raises DiskFull.
    """
    names = packages(tree)
    tried = names or modules(tree)
    if not tried:
        return Importable()
    source = _SCRIPT.format(names=tried)
    run = await execute(sandbox, source, UNEDITED, replace(limits, seconds=_SECONDS))
    if run.verdict is Verdict.PASSED:
        return Importable(seconds=run.execution.seconds)
    if run.verdict is not Verdict.FAILED:
        return Importable()  # the import ends the interpreter, or never ends: that is seen in the scripts' output
    said: list[str] = []
    for line in run.execution.output.splitlines():
        name, _, why = line.partition(": ")
        if name in names and why:
            said.append(
                f"`import {name}` fails in the environment, so test scripts that need it break: {why[:400]}. Where the "
                "issue is not just that, say how the project is installed, for example with older versions of what it "
                "needs (--install, --python)."
            )
    return Importable(tuple(said))
