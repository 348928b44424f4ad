"""Runs a repository's tests as a process of their own, and prints at the end what that process told of each test.

    python -I -S -c WITNESS NONCE_FILE PYTHON RUNNER KIND ARGUMENT...     Python 3.6 or later, standard library only

Like `witness.py` this process loads nothing of the tree. It reads a nonce that only the host knows, and removes its
file before anything of the tree runs; every line of the record starts with it. Whatever a candidate prints, it cannot
print such a line. The runner tells through a pipe, with a nonce of its own in front of each line.

KIND `shell` runs the arguments as they are; there is nothing to tell then but the end.
"""

import base64
import contextlib
import json
import os
import sys
import threading
from typing import Any, Dict, List, NoReturn, Tuple

CAP = 64 * 1024 * 1024
"""Bytes that are read from the runner."""
LINE = 3000
"""Bytes of a printed line: what other processes print at the same time does not get in between below PIPE_BUF."""


def hidden() -> None:
    """Nobody of the same user may look into this process' memory (prctl PR_SET_DUMPABLE)."""
    with contextlib.suppress(Exception):
        import ctypes

        ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)


def listen(hearing: int, heard: bytearray) -> None:
    with contextlib.suppress(OSError):
        while len(heard) < CAP:
            data = os.read(hearing, 65536)
            if not data:
                return
            heard += data


def run(python: str, program: List[str], nonce: bytes) -> Tuple[int, bytes]:
    """The exit code of the runner, 128 + N for a signal, and what it told."""
    given, giving = os.pipe()
    hearing, telling = os.pipe()
    pid = os.fork()
    if pid == 0:
        become(python, program, given, telling)
    for fd in (given, telling):
        os.close(fd)
    with contextlib.suppress(OSError):  # it has ended already
        os.write(giving, nonce)
    os.close(giving)
    heard = bytearray()
    listener = threading.Thread(target=listen, args=(hearing, heard), daemon=True)
    listener.start()
    status = os.waitpid(pid, 0)[1]
    listener.join(5.0)  # a process that the tests started may still hold the pipe
    return (128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)), bytes(heard)


def become(python: str, program: List[str], given: int, telling: int) -> NoReturn:
    try:
        if program[1] == "shell":
            os.execvp(program[2], program[2:])
        for fd in (given, telling):
            os.set_inheritable(fd, True)
        os.execv(python, [python, "-c", program[0], str(given), str(telling)] + program[1:])
    finally:
        os._exit(127)


def told(heard: bytes, nonce: bytes) -> List[Any]:
    """The values of the lines that carry the nonce, as far as they can be read."""
    values: List[Any] = []
    for line in heard.split(b"\n"):
        if line.startswith(nonce):
            with contextlib.suppress(ValueError):
                values.append(json.loads(line[len(nonce) :].decode()))
    return values


def main() -> None:
    hidden()
    path, python = sys.argv[1], sys.argv[2]
    with open(path, "rb") as file:
        seal = file.read().decode()
    os.remove(path)
    nonce = base64.b16encode(os.urandom(16))
    code, heard = run(python, sys.argv[3:], nonce)
    record: Dict[str, Any] = {"code": code, "told": told(heard, nonce), "whole": len(heard) < CAP}
    data = base64.b64encode(json.dumps(record).encode())
    lines = [data[at : at + LINE] for at in range(0, len(data), LINE)]
    sys.stdout.flush()
    os.write(1, b"\n")
    for number, line in enumerate(lines):
        os.write(1, ("%s %d/%d " % (seal, number + 1, len(lines))).encode() + line + b"\n")
    os._exit(code)


main()
