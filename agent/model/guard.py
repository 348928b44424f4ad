"""Runs a server as its only child and ends it when whoever started us is gone. A program of its own, stdlib only.

    python guard.py GRACE_SECONDS PROGRAM [ARGUMENT...]

Our standard input is a pipe whose other end the starter holds: it closes however the starter dies, SIGKILL
included. We then end our whole process group (the starter gave us a session of our own): SIGTERM first, SIGKILL
after the grace. Should this guard itself be killed, the kernel ends the server (Linux).
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time

_PR_SET_PDEATHSIG = 1


def _outlive(_number: int, _frame: object) -> None:
    """The server's signal, not ours. A handler, unlike SIG_IGN, is not inherited by the server."""


def _die_with_guard() -> None:
    with contextlib.suppress(OSError, AttributeError):  # no such call outside Linux
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _end_when_orphaned(grace: float) -> None:
    while os.read(0, 1024):
        pass
    os.killpg(0, signal.SIGTERM)
    time.sleep(grace)
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _outlive)
    child = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL, preexec_fn=_die_with_guard)
    threading.Thread(target=_end_when_orphaned, args=(float(sys.argv[1]),), daemon=True).start()
    code = child.wait()
    # Helpers that the server left behind go with it.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(0, signal.SIGTERM)
    os._exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
