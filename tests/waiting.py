"""Waiting for what happens elsewhere: tests look until it has happened instead of guessing how long it takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import anyio


async def until(reached: Callable[[], bool], seconds: float = 240.0) -> None:
    """Raises TimeoutError when it does not happen; other processes, threads and files wake nobody here."""
    with anyio.fail_after(seconds):
        while not reached():  # noqa: ASYNC110
            await anyio.sleep(0.01)


def wait_until(reached: Callable[[], bool], seconds: float = 240.0) -> None:
    """As `until`, in a test that has no event loop."""
    end = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether a process runs any code; one that is dead and not yet waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def wait_gone(pids: Sequence[int], seconds: float = 15.0) -> None:
    wait_until(lambda: not any(map(alive, pids)), seconds)
