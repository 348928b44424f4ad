"""Messages between processes: whole, in order, and an end that is noticed."""

from __future__ import annotations

import socket
from collections.abc import Generator

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.channel import Channel, Frames, framed

Pair = tuple[Channel, Channel]


@pytest.fixture
def pair() -> Generator[Pair]:
    ours, theirs = socket.socketpair()
    ends = Channel(ours), Channel(theirs)
    yield ends
    for end in ends:
        end.close()


@given(
    st.lists(st.lists(st.text() | st.binary() | st.integers(), min_size=1), max_size=5),
    st.lists(st.integers(min_value=1, max_value=40), min_size=1, max_size=20),
)
def test_frames_come_whole_however_the_stream_is_cut(batches: list[list[object]], sizes: list[int]) -> None:
    data = b"".join(map(framed, batches))
    frames, got, at, number = Frames(), [], 0, 0
    while at < len(data):
        size = sizes[number % len(sizes)]
        got += [list(frame) for frame in frames.add(data[at : at + size])]
        at, number = at + size, number + 1
    assert got == batches


async def test_more_than_the_kernel_holds_goes_both_ways_at_once(pair: Pair) -> None:
    big = [("x" * 3_000_000, number) for number in range(3)]
    got: dict[int, list[object]] = {0: [], 1: []}

    async def send(number: int) -> None:
        await pair[number].send(big[:1])
        await pair[number].send(big[1:])
        pair[number].end()

    async def take(number: int) -> None:
        while messages := await pair[number].receive():
            got[number] += messages

    async with anyio.create_task_group() as group:
        for number in (0, 1):
            group.start_soon(send, number)
            group.start_soon(take, number)
    assert got == {0: big, 1: big}


async def test_several_that_send_at_once_do_not_mix(pair: Pair) -> None:
    texts = [letter * 400_000 for letter in "abcd"]
    async with anyio.create_task_group() as group:
        for text in texts:
            group.start_soon(pair[0].send, [text])
        got: list[object] = []
        while len(got) < 4:
            got += await pair[1].receive()
    assert sorted(map(str, got)) == texts


async def test_an_end_that_is_gone(pair: Pair) -> None:
    pair[1].close()
    assert await pair[0].receive() == ()
    with pytest.raises(OSError, match="Broken pipe"):
        await pair[0].send(["x"])
    pair[0].end()  # and nothing is raised where there is nothing to be ended


async def test_half_a_message_is_an_end(pair: Pair) -> None:
    with anyio.move_on_after(0.05) as late:
        await pair[0].send(["x" * 10_000_000])
    assert late.cancelled_caught
    assert await pair[1].receive() == ()
