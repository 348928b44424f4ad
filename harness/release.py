"""Which release of bestpatch this is."""

from functools import cache
from importlib.metadata import version


@cache
def release() -> str:
    """Asked for in every task's result, and finding it means searching all installed packages."""
    return version("bestpatch")
