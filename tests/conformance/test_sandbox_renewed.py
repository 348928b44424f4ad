"""A workspace that an execution left as it was serves the next one; what an execution changed is gone in the next."""

from __future__ import annotations

import pytest

from sandbox.base import UNEDITED, Limits, Patch, RepoPath, Sandbox
from tests.conformance.repository import Repository

QUICK = Limits(seconds=30.0, memory_bytes=512 * 1024**2)
LOOK = """
import hashlib, os, sys
for top in ("/tmp", os.path.expanduser("~"), os.getcwd(), "/dev/shm", "/dev"):
    for folder, folders, names in os.walk(top):
        folders.sort()
        for name in sorted(names + folders):
            path = os.path.join(folder, name)
            status = os.lstat(path)
            links = status.st_nlink if name in names else ""
            print(path, oct(status.st_mode), links, sorted(os.listxattr(path, follow_symlinks=False)))
            if os.path.isfile(path) and not os.path.islink(path) and name != "look.py":
                print(hashlib.sha256(open(path, "rb").read()).hexdigest())
            if name == "calc.py":
                print(status.st_mtime_ns)
for name in ("shm", "sem", "msg"):
    print(open("/proc/sysvipc/" + name).read())
print([line.split()[3] for line in open("/proc/net/tcp").readlines()[1:]])
"""
DEEDS = {
    "a file in the repository": "open('made.txt', 'w').write('x')",
    "a change of the same size": "s = open('calc.py').read(); open('calc.py', 'w').write('#' + s[1:])",
    "a change and back": "s = open('calc.py').read(); open('calc.py', 'w').write('#'); open('calc.py', 'w').write(s)",
    "the old time set again": (
        "t = os.stat('calc.py'); open('calc.py', 'r+').write('#'); "
        "os.utime('calc.py', ns=(t.st_atime_ns, t.st_mtime_ns))"
    ),
    "a file mapped into memory": (
        "import mmap; name = 'added.py' if os.path.exists('added.py') else 'calc.py'; "
        "f = open(name, 'r+b'); m = mmap.mmap(f.fileno(), 0); m[0] = m[1]"
    ),
    "a mode": "os.chmod('calc.py', 0o600)",
    "a deleted file": "os.unlink('calc.py')",
    "another name": "os.rename('calc.py', 'other.py')",
    "a link to it": "os.link('calc.py', 'link.py')",
    "an attribute": "os.setxattr('calc.py', 'user.note', b'x')",
    "a folder": "os.mkdir('/tmp/folder')",
    "a folder that nobody may enter": "os.makedirs('/tmp/folder/below'); os.chmod('/tmp/folder', 0)",
    "shared memory by name": "open('/dev/shm/note', 'w').write('x')",
    "a file of the user": "open(os.path.expanduser('~/.note'), 'w').write('x')",
    "many files": "os.mkdir('/tmp/many'); [open('/tmp/many/%d' % n, 'w').close() for n in range(3000)]",
    "shared memory by number": "import ctypes; assert ctypes.CDLL(None).shmget(7, 4096, 0o1600) >= 0",
    "a message queue": "import ctypes; assert ctypes.CDLL(None).msgget(7, 0o1600) >= 0",
    "a connection that was closed": (
        "import socket; s = socket.create_server(('127.0.0.1', 8123)); c = socket.create_connection(s.getsockname()); "
        "a = s.accept()[0]; a.close(); c.close(); s.close()"
    ),
    "a process that stays": "import subprocess; subprocess.Popen(['sleep', '60'], start_new_session=True)",
    "nothing": "pass",
}


async def seen(sandbox: Sandbox, source: str, patch: Patch = UNEDITED) -> str:
    async with sandbox.workspace(patch) as workspace:
        await workspace.write("/tmp/script/look.py", source.encode())
        execution = await workspace.run([sandbox.python, "/tmp/script/look.py"], limits=QUICK)
    assert execution.exit_code == 0, execution.output
    return execution.output


@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize("deed", DEEDS)
async def test_nothing_that_an_execution_did_is_there_in_the_next(either: Sandbox, deed: str) -> None:
    patch = await either.make_patch({RepoPath("added.py"): b"x = 1\n"})
    for tree in (patch, UNEDITED):
        before = await seen(either, LOOK, tree)
        await seen(either, "import os\n" + DEEDS[deed], tree)
        assert await seen(either, LOOK, tree) == before


SPACE = "import os; print(os.readlink('/proc/self/ns/user'))"


@pytest.mark.usefixtures("strict")
async def test_a_workspace_that_was_left_as_it_was_serves_the_next(sandbox: Sandbox) -> None:
    patch = await sandbox.make_patch({RepoPath("kept.py"): b"x = 1\n"})
    spaces = [await seen(sandbox, SPACE, patch) for _ in range(3)]
    assert len(set(spaces)) == 1
    changed = await seen(sandbox, SPACE + "; open('made.txt', 'w')", patch)
    assert changed == spaces[0]
    assert await seen(sandbox, SPACE, patch) != changed


@pytest.mark.usefixtures("strict")
async def test_trees_take_turns(sandbox: Sandbox, repository: Repository) -> None:
    patches = [await sandbox.make_patch({RepoPath("turn.py"): b"x = %d\n" % number}) for number in range(3)]
    source = "import os; print(open('turn.py').read() if os.path.exists('turn.py') else 'none')"
    for number in (0, 0, 1, None, 2, 2, None, None, 0, 1):
        patch = UNEDITED if number is None else patches[number]
        assert (await seen(sandbox, source, patch)).strip() == ("none" if number is None else f"x = {number}")
