"""Runs tasks. The public API of bestpatch:

    import harness

    task = harness.local_task("path/to/repository", "what is wrong")
    result = await harness.solve(task, harness.Settings(candidates=16), out="runs/one")

Names are loaded when they are used: `bestpatch --help` need not wait for Docker's and the model's libraries.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.config import Settings
    from harness.errors import HarnessError, UsageError
    from harness.load import load
    from harness.result import Result, Status
    from harness.solve import solve
    from harness.tasks import local_task

__all__ = ["HarnessError", "Result", "Settings", "Status", "UsageError", "load", "local_task", "solve"]

_HOMES = {
    "HarnessError": "harness.errors",
    "Result": "harness.result",
    "Settings": "harness.config",
    "Status": "harness.result",
    "UsageError": "harness.errors",
    "load": "harness.load",
    "local_task": "harness.tasks",
    "solve": "harness.solve",
}


class _Package(ModuleType):
    """Keeps `harness.solve` the function: importing the module of that name would put the module in its place."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    def __getattr__(self, name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module 'harness' has no attribute {name!r}")
        return getattr(import_module(_HOMES[name]), name)


sys.modules[__name__].__class__ = _Package
