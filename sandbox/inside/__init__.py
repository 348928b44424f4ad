"""Programs that run inside a sandbox, on whatever Python from 3.6 on it has. Nothing here is imported outside.

They use the standard library only and are carried into containers and images as text.
"""

from __future__ import annotations

from functools import cache
from importlib import resources


@cache
def source(name: str) -> bytes:
    """The text of one of the programs, such as `witness.py`."""
    return resources.files(__name__).joinpath(name).read_bytes()


GIT_TOOL = ("git", "git_tool")
CELLS = ("kernel", "frames", "tree", "changes", "command", "cells")
# SWE-bench's images keep the project's interpreter in a conda environment of this name, which is not on PATH.
_FIND_PYTHON = (
    'for p in /opt/miniconda3/envs/testbed/bin/python "$(command -v python3)" "$(command -v python)"; do '
    '[ -x "$p" ] && "$p" -c "import ctypes, sys; sys.exit(sys.version_info < (3, 6))" && exec "$p" -I -S "$@"; '
    'done; echo "no Python 3.6 or later with ctypes" >&2; exit 1'
)
# The parts import each other by their names here, so they are made modules of these names there.
_LOADER = """\
import sys, types
for name in ("sandbox", "sandbox.inside"):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = []
end = 2 + 2 * int(sys.argv[1])
parts = list(zip(sys.argv[2:end:2], sys.argv[3:end:2]))
del sys.argv[1:end]
for name, text in parts:
    module = sys.modules["sandbox.inside." + name] = types.ModuleType("sandbox.inside." + name)
    exec(compile(text, name + ".py", "exec"), module.__dict__)
module.main()
"""


def entry(python: str = "") -> list[str]:
    """A place's first process; `arguments(*CELLS)` come after it. `python`: as another place of the image has found."""
    return [python, "-I", "-S"] if python else ["/bin/sh", "-c", _FIND_PYTHON, "place"]


def arguments(*names: str) -> list[str]:
    """What comes after `python -I -S` to run the last of these programs, which imports those before it.

    The program's own arguments come after them.
    """
    parts = [text for name in names for text in (name, source(f"{name}.py").decode())]
    return ["-c", _LOADER, str(len(names)), *parts]
