"""Messages between the processes of a batch: pickled values on a pair of sockets, whose ends trust each other.

The kernel closes an end with its process, however that dies. So whoever is left learns of it.
"""

from __future__ import annotations

import pickle
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress

import anyio

_LENGTH = struct.Struct("!Q")
_PIECE = 1 << 18
"""Bytes that are read at once."""


class Channel:
    """One end."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._end = end
        self._sending = anyio.Lock(fast_acquire=True)
        self._frames = Frames()

    async def send(self, messages: Sequence[object]) -> None:
        """All of them, whole. Raises OSError where the other end is gone."""
        data = memoryview(framed(messages))
        async with self._sending:
            try:
                while data:
                    try:
                        data = data[self._end.send(data) :]
                    except BlockingIOError:
                        await anyio.wait_writable(self._end)
            except BaseException:
                self.end()  # half a frame would spoil all that follow
                raise

    async def receive(self) -> Sequence[object]:
        """What came, one message or more; none once the other end is closed."""
        while True:
            await anyio.wait_readable(self._end)
            try:
                data = self._end.recv(_PIECE)
            except BlockingIOError:
                continue
            except ConnectionError:
                return ()
            if not data:
                return ()
            if messages := [message for frame in self._frames.add(data) for message in frame]:
                return messages

    def end(self) -> None:
        """Nothing more will be sent; what comes can still be received."""
        with suppress(OSError):  # the other end is gone
            self._end.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._end.close()


class Frames:
    """Puts a stream's pieces together again."""

    def __init__(self) -> None:
        self._data = bytearray()

    def add(self, data: bytes) -> Iterator[Sequence[object]]:
        """The frames that are whole now."""
        self._data += data
        while len(self._data) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._data)
            end = _LENGTH.size + length
            if len(self._data) < end:
                return
            frame = bytes(self._data[_LENGTH.size : end])
            del self._data[:end]
            yield pickle.loads(frame)  # noqa: S301 - the other end is a process of our own


def framed(messages: Sequence[object]) -> bytes:
    """A frame: its length, then the messages."""
    data = pickle.dumps(tuple(messages), protocol=pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(data)) + data
