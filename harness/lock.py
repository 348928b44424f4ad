"""One process at a time works in a run's directory; a batch's, with the workers that it has started."""

from __future__ import annotations

import fcntl
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import IO

import anyio

from harness.errors import FULL, DirectoryFull, JournalError, RunConflict

LOCK_NAME = "lock"
WORKERS_NAME = "workers.lock"


def locked(folder: Path, option: str = "--out") -> IO[str]:
    """The directory's lock file, held. The kernel lets go of it when the process ends, however it ends.

    Raises RunConflict when a live process holds it, JournalError when the directory cannot be written. `option` is what
    named the directory on the command line.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / LOCK_NAME).open("a+", encoding="utf-8")
    except OSError as error:
        raise _unwritten(folder, error, option) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.seek(0)
        holder = lock.read().strip() or "another process"
        lock.close()
        raise RunConflict(
            f"{folder} is in use by {holder}; wait for it, or name another directory with {option}"
        ) from None
    try:
        lock.seek(0)
        lock.truncate()
        lock.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        lock.flush()
    except OSError as error:
        with suppress(OSError):
            lock.close()
        raise _unwritten(folder, error, option) from error
    return lock


def _unwritten(folder: Path, error: OSError, option: str) -> JournalError:
    if error.errno in FULL:
        return DirectoryFull(f"{folder}: {error.strerror}; free some disk, then run the same command")
    return JournalError(f"{folder}: cannot be written: {error.strerror}; name another directory with {option}")


def worker_lock(folder: Path) -> IO[str]:
    """Held by each worker process of a run for as long as it lives; see `without_workers`."""
    lock = (folder / WORKERS_NAME).open("a+", encoding="utf-8")
    fcntl.flock(lock, fcntl.LOCK_SH)
    return lock


async def without_workers(folder: Path, seconds: float = 60.0) -> None:
    """Wait until no worker process of an earlier invocation is left. One whose parent was killed is killed too, but
    holds the directories of its tasks for some more milliseconds. Raises RunConflict when one stays.
    """
    path = folder / WORKERS_NAME
    if not path.exists():
        return None
    with path.open("a+", encoding="utf-8") as lock, anyio.move_on_after(seconds):
        while True:
            try:
                return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                await anyio.sleep(0.01)
    raise RunConflict(f"{folder}: worker processes of an earlier run still work in it; end them, then run it again")
