"""Many open descriptors: a batch holds hundreds of places, each with a socket or three pipes."""

from __future__ import annotations

import resource
import select
from collections.abc import Sequence
from typing import Protocol, TypeVar

_ENOUGH = 65_536


class File(Protocol):
    def fileno(self) -> int: ...


F = TypeVar("F", bound=File | int)


def arrived(files: Sequence[F], seconds: float) -> list[F]:
    """Those from which can be read, their end included, after so many seconds at most.

    `select.select` does the same for descriptors below 1024 only.
    """
    poll = select.poll()
    numbers = {file if isinstance(file, int) else file.fileno(): file for file in files}
    for number in numbers:
        poll.register(number, select.POLLIN)
    return [numbers[number] for number, _ in poll.poll(max(0.0, seconds) * 1000)]


def allow_many() -> None:
    """Raise this process' own limit, which is 1024 on most systems, as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _ENOUGH if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
