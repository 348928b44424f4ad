"""One process at a time works in a run's directory."""

from __future__ import annotations

import fcntl
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import IO

from harness.errors import FULL, DirectoryFull, JournalError, RunConflict

LOCK_NAME = "lock"


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
