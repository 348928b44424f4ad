"""The processes of one execution: init, and the command below it.

Part of what runs in a place (`cells.py`): Python 3.6 or later, standard library only.
"""

import os
import resource
import signal
import struct

from sandbox.inside.kernel import (
    BIND,
    HIDDEN,
    NEWIPC,
    NEWNET,
    NEWNS,
    RDONLY,
    REMOUNT,
    STRICT,
    called,
    give_up_privileges,
    loopback_up,
    mount,
    prctl,
    put,
    run_here,
)

TYPE_CHECKING = False
if TYPE_CHECKING:  # every process that is forked from the place would carry what an import brings
    from typing import Any, Dict, NoReturn


def run_init(head: "Dict[str, Any]", program: bytes, out: int, end: int) -> "NoReturn":
    """The first process of an execution's pid namespace: starts the command, buries orphans, tells how it ended."""
    code = 125
    try:
        called("unshare", NEWNS | NEWIPC | NEWNET)
        loopback_up()
        mount("proc", "/proc", "proc", STRICT)
        for path in HIDDEN:
            if os.path.isdir(path):
                mount("cell", path, "tmpfs", STRICT | RDONLY, "size=4k")
            elif os.path.exists(path):
                mount("/dev/null", path, None, BIND)
        child = os.fork()
        if child == 0:
            run_command(head, program, out)
        os.close(out)
        prctl(4, 0)  # PR_SET_DUMPABLE: nobody looks into this process
        ended = status = 0
        while ended != child:
            ended, status = os.wait()
        code = 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    except BaseException as error:
        os.write(2, ("bestpatch: %s\n" % error).encode())
    os.write(end, struct.pack(">i", code))
    os._exit(0)


def run_command(head: "Dict[str, Any]", program: bytes, out: int) -> "NoReturn":
    code = 126
    try:
        os.setsid()
        os.dup2(out, 1)
        os.dup2(out, 2)
        put("/proc/self/oom_score_adj", "1000")  # first to be killed, not we
        # Now, so that nobody takes that back; nor may user 0, whose image this may be, set the kernel's variables.
        mount("/proc", "/proc", None, BIND | REMOUNT | RDONLY | STRICT)
        for name, most in head["rlimits"].items():
            # At its soft limit a process gets SIGXCPU, which can tell where it was; at the hard one it is killed.
            resource.setrlimit(getattr(resource, name), (most, most + (name == "RLIMIT_CPU")))
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and that would be inherited
            signal.signal(number, signal.SIG_DFL)
        os.umask(0o022)
        os.chdir(head["cwd"])
        give_up_privileges(program)
        if head["here"]:
            run_here(head["argv"], head["env"])
        try:
            os.execvpe(head["argv"][0], head["argv"], head["env"])
        except FileNotFoundError:
            code = 127
            raise
    except BaseException as error:
        os.write(2, ("%s: %s\n" % (head["argv"][0], getattr(error, "strerror", None) or error)).encode())
    os._exit(code)
