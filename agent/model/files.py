"""Files in the cache: locks between processes, free disk, checksums."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio.to_thread

from agent.errors import ModelUnavailable
from agent.model.process import Say


@asynccontextmanager
async def locked(path: Path, say: Say) -> AsyncGenerator[None]:
    """An exclusive lock between processes. Polled, so that waiting for it can be cancelled."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        told = False
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if not told:
                    say(f"another process is preparing {path.stem}; waiting for it")
                told = True
                await anyio.sleep(0.3)
        yield


def need_disk(folder: Path, size: int, what: str) -> None:
    """Raises ModelUnavailable when the folder's disk has less than `size` bytes free."""
    free = shutil.disk_usage(folder).free
    if free < size:
        raise ModelUnavailable(
            f"{what} needs {size / 1e9:.1f} GB of free disk in {folder}, and {free / 1e9:.1f} GB are there; "
            "make room, or put the cache elsewhere with BESTPATCH_CACHE"
        )


async def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file, computed in a thread."""

    def compute() -> str:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    return await anyio.to_thread.run_sync(compute, abandon_on_cancel=True)


def size_of(path: Path) -> int:
    """Bytes of a file, 0 when there is none."""
    return path.stat().st_size if path.exists() else 0


def discard(path: Path) -> None:
    path.unlink(missing_ok=True)


def make_folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path
