"""Does the same for many tasks, on several processors where there are: replaying votes is plain Python."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Each(Protocol):
    """Applies a function to each item; results come in the items' order."""

    def __call__(self, function: Callable[[T], R], items: Sequence[T], /) -> Iterable[R]: ...


@contextmanager
def side_by_side(workers: int) -> Generator[Each]:
    """`workers` processes; 1 means this one. The function and the items must be fit for pickling."""
    if workers < 2:
        yield map
        return
    # Not by fork: the caller may have threads.
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(workers, mp_context=context, initializer=_quiet)
    try:
        yield executor.map
    finally:
        executor.shutdown(cancel_futures=True)


def _quiet() -> None:
    """An interrupt is for the caller alone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
