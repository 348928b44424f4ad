"""Whether the repository's own packages can be imported in its environment. Where not, every test script breaks.

An environment can build and yet not work: an old commit with the newest versions of what it needs is the usual case.
Known before the first trajectory, that costs a user seconds; found in the transcripts afterwards, it costs the run.
"""

from __future__ import annotations

from dataclasses import replace

from sandbox.base import UNEDITED, Limits, Sandbox, Tree
from sandbox.script import Verdict
from selection.execute import execute

_NO_PACKAGES = frozenset(
    {"benchmark", "benchmarks", "doc", "docs", "example", "examples", "script", "scripts", "test", "testing", "tests"}
)
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


async def import_failures(sandbox: Sandbox, tree: Tree, limits: Limits) -> tuple[str, ...]:
    """A sentence for each package whose import fails. That is no error of the run's: the issue may be just that.

    Raises DiskFull.
    """
    names = packages(tree)
    if not names:
        return ()
    source = _SCRIPT.format(names=names)
    run = await execute(sandbox, source, UNEDITED, replace(limits, seconds=_SECONDS))
    if run.verdict is not Verdict.FAILED:
        return ()  # also where the import ends the interpreter, or never ends: that is seen in the scripts' output
    said: list[str] = []
    for line in run.execution.output.splitlines():
        name, _, why = line.partition(": ")
        if name in names and why:
            said.append(
                f"`import {name}` fails in the environment, so test scripts that need it break: {why[:400]}. Where the "
                "issue is not just that, say how the project is installed, for example with older versions of what it "
                "needs (--install, --python)."
            )
    return tuple(said)
