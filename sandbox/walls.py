"""Walls of namespaces around an unpacked image, made by `bwrap`, by a user who is nobody on this machine.

No privilege is needed, and none is there: inside a user namespace only one user exists, who is ours outside. Where we
are root it is one without a name or a file, so that code which breaks out is nobody.
"""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from sandbox.host import run_host

NOBODY = 1_900_010_001
"""The user of this machine that we are where we were root: of a range from which nobody gives users a number."""
_LOOK_SECONDS = 20.0


def user() -> int:
    """Who owns unpacked images and runs what is in them, as a user of this machine."""
    return os.geteuid() or NOBODY


def walls(
    root: Path,
    *,
    uid: int,
    gid: int,
    env: Mapping[str, str],
    seccomp: int,
    writable: bool = False,
    more: Sequence[str] = (),
) -> list[str]:
    """The start of a command line; a command follows. `seccomp` is the descriptor of a filter, passed on."""
    return [
        *unprivileged(),
        "bwrap",
        "--unshare-all",
        "--unshare-user",  # or fail
        *("--uid", str(uid), "--gid", str(gid), "--hostname", "sandbox"),
        *("--die-with-parent", "--new-session", "--clearenv"),
        *(word for name, value in env.items() for word in ("--setenv", name, value)),
        *("--bind" if writable else "--ro-bind", str(root), "/", "--proc", "/proc", "--dev", "/dev"),
        *more,
        *("--seccomp", str(seccomp), "--"),
    ]


def unprivileged() -> list[str]:
    """The start of a command line that makes root somebody else."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs", "--"]


@contextmanager
def readable(data: bytes) -> Generator[int]:
    """A descriptor from which a program can read these bytes."""
    fd = os.memfd_create("bestpatch")
    try:
        os.write(fd, data)
        os.lseek(fd, 0, os.SEEK_SET)
        yield fd
    finally:
        os.close(fd)


def why_not() -> str | None:
    """Why sandboxes cannot be walled in on this machine, and what to do; None where they can."""
    if platform.system() != "Linux":
        return f"bubblewrap needs Linux; this is {platform.system()}"
    if run_host(["bwrap", "--version"], _LOOK_SECONDS)[0] == 127:
        return "bwrap is not installed (package bubblewrap: apt-get install bubblewrap, dnf install bubblewrap)"
    # As a place is: its own walls, and in them namespaces of the cells.
    inner = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--mount-proc", "true"]
    with readable(b"") as nothing:
        outer = walls(Path("/"), uid=NOBODY, gid=NOBODY, env={"PATH": os.defpath}, seccomp=nothing)
    code, text = run_host([*outer[: outer.index("--seccomp")], "--", *inner], _LOOK_SECONDS)
    if code == 0:
        return None
    return (
        f"bwrap cannot make namespaces here ({text.strip()[-300:]}). Unprivileged user namespaces may be switched off: "
        "see the sysctls user.max_user_namespaces, kernel.unprivileged_userns_clone and "
        "kernel.apparmor_restrict_unprivileged_userns; in a container, /proc must not be masked."
    )


def start(
    command: Sequence[str], *, fds: Sequence[int], procs: Sequence[Path], open_files: int
) -> subprocess.Popen[bytes]:
    """Start a command with pipes for all three streams, inside the cgroups whose `cgroup.procs` are given."""
    limited = ["/bin/sh", "-c", _LIMITED, "sh", str(open_files), *map(str, procs), "--", *command]
    pipe = subprocess.PIPE
    return subprocess.Popen(limited, bufsize=0, stdin=pipe, stdout=pipe, stderr=pipe, cwd="/", pass_fds=fds)


_LIMITED = (
    'ulimit -c 0; ulimit -n "$1" 2>/dev/null; shift; '
    'while [ "$1" != -- ]; do echo $$ >"$1" || exit 1; shift; done; shift; exec "$@"'
)
