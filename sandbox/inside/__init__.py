"""Programs that run inside a sandbox, on whatever Python from 3.6 on it has. Nothing here is imported outside.

They use the standard library only and are carried into images and containers as text.
"""

from __future__ import annotations

from importlib import resources


def source(name: str) -> bytes:
    """The text of one of the programs, such as `git_tool.py`."""
    return resources.files(__name__).joinpath(name).read_bytes()
