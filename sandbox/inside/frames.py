"""Frames to and from the host, and what is kept of a command's output.

Part of what runs in a place (`cells.py`): Python 3.6 or later, standard library only.

A frame, both ways: two lengths (4 bytes each, big-endian), a JSON object, bytes.
"""

import json
import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:  # every process that is forked from the place would carry what an import brings
    from typing import Any, Dict, List, Tuple


class Channel:
    """Frames over two file descriptors that no command inherits."""

    def __init__(self) -> None:
        self.reader, self.writer = os.dup(0), os.dup(1)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(2, 1)

    def send(self, head: "Dict[str, Any]", data: bytes = b"") -> None:
        text = json.dumps(head).encode()
        rest = memoryview(struct.pack(">II", len(text), len(data)) + text + data)
        while rest:
            rest = rest[os.write(self.writer, rest) :]

    def _exactly(self, count: int) -> bytes:
        parts: "List[bytes]" = []
        while count:
            part = os.read(self.reader, min(count, 1 << 20))
            if not part:
                os._exit(0)  # nobody is there any more
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def receive(self) -> "Tuple[Dict[str, Any], bytes]":
        text, data = struct.unpack(">II", self._exactly(8))
        head = json.loads(self._exactly(text).decode())
        return head, self._exactly(data)


class Output:
    """The first and the last half of what is written, and how much that was."""

    def __init__(self, limit: int) -> None:
        self.head, self.tail, self.written = bytearray(), bytearray(), 0
        self.first, self.last = limit // 2, limit - limit // 2

    def take(self, fd: int) -> bool:
        data = os.read(fd, 1 << 20)
        self.written += len(data)
        room = self.first - len(self.head)
        if room > 0:
            self.head += data[:room]
        self.tail += data[max(room, 0) :][-self.last :]
        if len(self.tail) > 2 * self.last:
            del self.tail[: -self.last]
        return bool(data)

    def end(self) -> bytes:
        return bytes(self.tail[-self.last :])
