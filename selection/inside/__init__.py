"""Programs of selection that run inside a sandbox, on whatever Python from 3.6 on it has. Nothing is imported outside.

They use the standard library only and are carried there as text, as those of `sandbox.inside` are.
"""

from __future__ import annotations

from functools import cache
from importlib import resources


@cache
def source(name: str) -> str:
    """The text of one of the programs, such as `call_all.py`."""
    return resources.files(__name__).joinpath(name).read_text("utf-8")
