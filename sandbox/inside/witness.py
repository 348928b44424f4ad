"""Runs the runner as a process of its own, and ends as it did: exit code 0 without its proof becomes 1.

    python -I -S -c WITNESS PYTHON RUNNER ARGUMENT...      Python 3.6 or later, standard library only

The interpreter that runs the code under test may load modules of the tree before the runner (sitecustomize, a .pth
file of an editable install), and code under test may end it at any time. So this process loads nothing of the tree and
gives the runner a nonce through a pipe. The runner gives it back through another, followed by its exit code, when the
script has come to its end. The nonce is in no argument, file or variable of the environment.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # an import costs every script: typing and contextlib as much as the interpreter's own start
    from typing import List, NoReturn


def run(python: str, program: "List[str]", nonce: bytes) -> int:
    """The exit code of the runner, 128 + N for a signal."""
    given, giving = os.pipe()
    hearing, telling = os.pipe()
    pid = os.fork()
    if pid == 0:
        become(python, program, given, telling)
    for fd in (given, telling):
        os.close(fd)
    try:  # noqa: SIM105
        os.write(giving, nonce)
    except OSError:
        pass  # it has ended already
    os.close(giving)
    status = os.waitpid(pid, 0)[1]
    code = 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    os.set_blocking(hearing, False)
    try:
        told = os.read(hearing, 64)
    except BlockingIOError:
        told = b""  # a process the script started still holds the pipe
    if code == 0 and told != nonce + b"\0":
        sys.stderr.write("bestpatch: the program was ended before its own end, with exit code 0; that proves nothing\n")
        return 1
    return code


def become(python: str, program: "List[str]", given: int, telling: int) -> "NoReturn":
    try:
        for fd in (given, telling):
            os.set_inheritable(fd, True)
        os.execv(python, [python, "-c", program[0], str(given), str(telling)] + program[1:])
    finally:
        os._exit(127)


os._exit(run(sys.argv[1], sys.argv[2:], os.urandom(16)))
