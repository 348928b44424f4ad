"""Keeps the two ends of an endless output in flat memory, and shows them as text.

A program may print 10 GB. The stream is drained to its end so that the program is not held up, but only the
first and the last part stay: errors stand at the end, and what led there at the beginning.
"""

from __future__ import annotations

from sandbox.base import Ended, Execution, Limit


class Ring:
    """The first and the last half of what was written into it, and how much that was.

    Memory: at most about 1.5 times `limit`, whatever is written.
    """

    def __init__(self, limit: int) -> None:
        self.limit = max(limit, 2)
        self.written = 0
        """Bytes in all, kept or not."""
        self._head = bytearray()
        self._tail = bytearray()
        self._head_limit = self.limit // 2
        self._tail_limit = self.limit - self._head_limit

    @classmethod
    def of(cls, head: bytes, tail: bytes, written: int, limit: int) -> Ring:
        """What another one like it has kept."""
        ring = cls(limit)
        ring.written, ring._head, ring._tail = written, bytearray(head), bytearray(tail)
        return ring

    def write(self, data: bytes) -> None:
        self.written += len(data)
        room = self._head_limit - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        self._tail += data[-self._tail_limit :]
        # Trimmed in steps, not on each write: a program that flushes single bytes must not cost quadratic time.
        if len(self._tail) > 2 * self._tail_limit:
            del self._tail[: -self._tail_limit]

    @property
    def left_out(self) -> int:
        """Bytes that were dropped from the middle."""
        return max(self.written - self.limit, 0)

    def ends(self) -> tuple[bytes, bytes]:
        """Head and tail; their concatenation is the whole output when nothing was left out."""
        return bytes(self._head), bytes(self._tail[-self._tail_limit :])

    def text(self) -> str:
        """UTF-8 with replacement. A character that the cut went through is dropped, not shown as garbage."""
        head, tail = self.ends()
        if not self.left_out:
            return (head + tail).decode("utf-8", "replace")
        head, tail = _whole_end(head), _whole_start(tail)
        left_out = self.written - len(head) - len(tail)
        marker = f"\n[... {left_out} bytes left out ...]\n"
        return head.decode("utf-8", "replace") + marker + tail.decode("utf-8", "replace")


def _whole_end(data: bytes) -> bytes:
    """Without an unfinished UTF-8 character at the end."""
    for back in range(1, min(3, len(data)) + 1):
        byte = data[-back]
        if byte & 0b1100_0000 == 0b1000_0000:
            continue
        length = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
        return data[:-back] if length > back else data
    return data


def _whole_start(data: bytes) -> bytes:
    """Without the rest of a UTF-8 character at the start."""
    skip = 0
    while skip < min(3, len(data)) and data[skip] & 0b1100_0000 == 0b1000_0000:
        skip += 1
    return data[skip:]


def shown(execution: Execution) -> str:
    """An execution for a reader, a person or a model: its output, said so when empty, and how it ended.

    The output is shown as it is; whoever puts it into a prompt delimits it as untrusted text.
    """
    if execution.output.strip():
        output = execution.output.rstrip("\n")
    elif execution.output_bytes:
        output = f"(only white space was printed, {execution.output_bytes} bytes)"
    else:
        output = "(nothing was printed)"
    if execution.ended is Ended.TIMED_OUT:
        end = f"killed at its deadline, after {execution.seconds:.1f} s"
    elif execution.ended is Ended.OUT_OF_MEMORY:
        end = "killed because it used more memory than it may"
    else:
        end = f"exit code {execution.exit_code}"
    other = sorted(execution.reached - {Limit.TIME, Limit.MEMORY})
    if other:
        end += f"; it ran into its limit of {' and '.join(other)}"
    return f"{output}\n[{end}]"
