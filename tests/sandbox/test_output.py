"""The two ends of an endless output."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.base import Ended, Execution
from sandbox.output import Ring, shown


@given(st.lists(st.binary(max_size=50)), st.integers(2, 200))
def test_it_keeps_the_first_and_the_last_half_and_counts_all(parts: list[bytes], limit: int) -> None:
    ring, whole = Ring(limit), b"".join(parts)
    for part in parts:
        ring.write(part)
    head, tail = ring.ends()
    assert ring.written == len(whole)
    if len(whole) <= limit:
        assert head + tail == whole
        assert ring.left_out == 0
    else:
        assert head == whole[: limit // 2]
        assert tail == whole[-(limit - limit // 2) :]
        assert ring.left_out == len(whole) - limit


@given(st.text(), st.integers(2, 50))
def test_text_is_never_broken_by_the_cut(text: str, limit: int) -> None:
    ring = Ring(limit)
    for byte in text.encode("utf-8"):
        ring.write(bytes([byte]))
    if not ring.left_out:
        assert ring.text() == text
    else:
        head, _, rest = ring.text().partition("\n[... ")
        number, _, tail = rest.partition(" bytes left out ...]\n")
        assert text.startswith(head)
        assert text.endswith(tail)
        assert len(head.encode()) + int(number) + len(tail.encode()) == len(text.encode())


@given(st.binary(max_size=300), st.integers(2, 50))
def test_any_bytes_become_text_that_tells_how_many_were_left_out(data: bytes, limit: int) -> None:
    ring = Ring(limit)
    ring.write(data)
    assert ("bytes left out ...]" in ring.text()) == (len(data) > ring.limit)
    assert ring.left_out or ring.text() == data.decode("utf-8", "replace")


def test_memory_stays_flat() -> None:
    ring, block = Ring(10_000), b"x" * 65_536
    ring.write(block)
    tracemalloc.start()
    for _ in range(2000):
        ring.write(block)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert ring.written == 2001 * 65_536
    assert peak < 500_000


@pytest.mark.parametrize(
    ("execution", "wanted"),
    [
        (Execution(Ended.EXITED, 2, "x\n", 2, 0.1), "x\n[exit code 2]"),
        (Execution(Ended.EXITED, 0, "", 0, 0.1), "(nothing was printed)\n[exit code 0]"),
        (Execution(Ended.EXITED, 0, " \n", 2, 0.1), "(only white space was printed, 2 bytes)\n[exit code 0]"),
        (Execution(Ended.TIMED_OUT, None, "x", 1, 1.52), "x\n[killed at its deadline, after 1.5 s]"),
        (Execution(Ended.OUT_OF_MEMORY, None, "x", 1, 1), "x\n[killed because it used more memory than it may]"),
    ],
)
def test_an_execution_is_shown_with_its_end(execution: Execution, wanted: str) -> None:
    assert shown(execution) == wanted
