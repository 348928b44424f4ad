"""Rows 8, 9, 13 and 14 of the table of faults: code that wants out, and code that wants to be seen by the next.

What can be tried as root is tried as both: root inside has no capability either, but owns what root owns.
"""

from __future__ import annotations

import json
import socket
import textwrap
import threading
from pathlib import Path

import pytest

from sandbox.base import UNEDITED, Ended, Execution, Limits, RepoPath, Sandbox
from sandbox.script import Verdict, run_script
from tests.conformance.repository import CALC

QUICK = Limits(seconds=30.0, memory_bytes=512 * 1024**2, output_bytes=40_000)
FIXED = CALC.replace(b"a - b", b"a + b")


async def ran(sandbox: Sandbox, source: str) -> Execution:
    async with sandbox.workspace() as workspace:
        return await workspace.run([sandbox.python, "-c", textwrap.dedent(source)], limits=QUICK)


async def told(sandbox: Sandbox, source: str) -> object:
    """What a program that prints one line of JSON found."""
    execution = await ran(sandbox, source)
    assert (execution.ended, execution.exit_code) == (Ended.EXITED, 0), execution.output
    return json.loads(execution.output)


# Row 8: network


async def test_row_08_nothing_on_the_host_can_be_reached(sandbox: Sandbox) -> None:
    """A server of ours listens on every address of this machine, as a model server would. Nobody comes."""
    visitors: list[object] = []
    with socket.create_server(("0.0.0.0", 0)) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]
        ended = threading.Event()

        def serve() -> None:
            while not ended.is_set():
                try:
                    visitor, address = server.accept()
                    visitor.close()
                    visitors.append(address)
                except TimeoutError:
                    continue

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5):
                pass
            outward = {found[4][0] for found in socket.getaddrinfo(socket.gethostname(), port, socket.AF_INET)}
            hosts = sorted({*outward, "127.0.0.1", "172.17.0.1", "10.0.2.2", "host.docker.internal"})
            found = await told(sandbox, TRY_TO_CONNECT.format(addresses=[(host, port) for host in hosts]))
        finally:
            ended.set()
            thread.join()
    assert found == [False] * len(hosts)
    assert len(visitors) == 1, "only our own try"


TRY_TO_CONNECT = """
    import json, socket
    found = []
    for address in {addresses}:
        try: socket.create_connection(address, timeout=3); found.append(True)
        except OSError: found.append(False)
    print(json.dumps(found))
"""


async def test_row_08_no_way_out_is_open(either: Sandbox) -> None:
    addresses = [
        ("169.254.169.254", 80), ("fd00:ec2::254", 80), ("8.8.8.8", 53), ("2001:4860:4860::8888", 53),
        ("example.org", 80), ("metadata.google.internal", 80),
    ]  # fmt: skip
    assert await told(either, TRY_TO_CONNECT.format(addresses=addresses)) == [False] * len(addresses)
    sent = """
        import json, socket
        found = []
        for family, address in ((2, ('8.8.8.8', 53)), (2, ('255.255.255.255', 9)), (10, ('2001:4860:4860::8888', 53))):
            try:
                s = socket.socket(family, socket.SOCK_DGRAM); s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
                found.append(s.sendto(b'x', address))
            except OSError: found.append(None)
        print(json.dumps(found))
    """
    assert await told(either, sent) == [None] * 3


@pytest.mark.usefixtures("strict")
async def test_row_08_only_families_of_sockets_that_tests_need_exist(either: Sandbox) -> None:
    source = """
        import json, socket
        found = set()
        for family in range(1, 64):
            for kind in (1, 2, 3, 5):
                try: socket.socket(family, kind, 0).close(); found.add(family)
                except OSError: pass
        print(json.dumps(sorted(found)))
    """
    assert await told(either, source) == [1, 2, 10, 16], "unix, IPv4, IPv6, netlink"


# Row 9: privileges

SYSCALLS = {
    "acct": 163, "add_key": 248, "bpf": 321, "chroot": 161, "clock_settime": 227, "fanotify_init": 300,
    "finit_module": 313, "fsmount": 432, "fsopen": 430, "init_module": 175, "io_uring_setup": 425, "iopl": 172,
    "kexec_load": 246, "keyctl": 250, "mount": 165, "mount_setattr": 442, "move_mount": 429,
    "name_to_handle_at": 303, "open_by_handle_at": 304, "open_tree": 428, "perf_event_open": 298,
    "pidfd_getfd": 438, "pivot_root": 155, "process_vm_readv": 310, "process_vm_writev": 311, "ptrace": 101,
    "quotactl": 179, "reboot": 169, "request_key": 249, "sethostname": 170, "setns": 308, "settimeofday": 164,
    "swapon": 167, "syslog": 103, "umount2": 166, "unshare": 272, "userfaultfd": 323,
}  # fmt: skip
NAMESPACES = {
    "user": 0x10000000, "mount": 0x20000, "pid": 0x20000000, "network": 0x40000000, "ipc": 0x8000000,
    "uts": 0x4000000, "cgroup": 0x2000000,
}  # fmt: skip
CALL = """
    import ctypes, errno, json, os, struct, sys
    libc = ctypes.CDLL(None, use_errno=True)
    def call(*args):
        ctypes.set_errno(0)
        done = libc.syscall(*[ctypes.c_long(arg) if isinstance(arg, int) else arg for arg in args])
        if done == 0 and args[0] in (56, 435): os._exit(9)  # the child that should not be
        return errno.errorcode.get(ctypes.get_errno()) if done == -1 else done
"""


@pytest.mark.usefixtures("strict")
@pytest.mark.skipif("__import__('platform').machine() != 'x86_64'", reason="the numbers are those of x86_64")
async def test_row_09_calls_that_lead_out_are_denied(either: Sandbox) -> None:
    """As the kernel's own numbers, past every library. ENOSYS: the kernel seems not to know the call."""
    source = (
        textwrap.dedent(CALL) + f"print(json.dumps({{name: call(n, 0, 0, 0, 0, 0) for name, n in {SYSCALLS}.items()}}))"
    )
    found = await told(either, source)
    assert isinstance(found, dict)
    allowed = {name: outcome for name, outcome in found.items() if outcome not in ("EPERM", "ENOSYS")}
    assert allowed == {}


@pytest.mark.skipif("__import__('platform').machine() != 'x86_64'", reason="the numbers are those of x86_64")
async def test_row_09_no_namespace_can_be_made_or_entered(either: Sandbox) -> None:
    source = textwrap.dedent(CALL) + textwrap.dedent(f"""
        found = {{}}
        for name, flag in {NAMESPACES}.items():
            wanted = struct.pack('QQQQQQQQQQQ', flag, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0)
            own = os.open('/proc/self/ns/' + {{'network': 'net', 'mount': 'mnt'}}.get(name, name), os.O_RDONLY)
            found[name] = [call(272, flag), call(56, flag | 17, 0, 0, 0, 0),
                           call(435, ctypes.create_string_buffer(wanted), 88), call(308, own, flag)]
        print(json.dumps(found))
    """)
    assert await told(either, source) == {name: ["EPERM", "EPERM", "ENOSYS", "EPERM"] for name in NAMESPACES}


# Machine code: unshare(CLONE_NEWUSER) by the door of 32-bit programs, and getpid by that of x32 ones.
DOORS = {"int 0x80": "53b836010000bb00000010cd805bc3", "x32": "b8270000400f05c3"}


@pytest.mark.skipif("__import__('platform').machine() != 'x86_64'", reason="machine code of x86_64")
@pytest.mark.parametrize("door", DOORS)
async def test_row_09_other_doors_to_the_kernel_are_shut(either: Sandbox, door: str) -> None:
    source = f"""
        import ctypes, mmap, os
        code = mmap.mmap(-1, 4096, prot=7)
        code.write(bytes.fromhex('{DOORS[door]}'))
        pid = os.fork()
        if pid == 0:
            done = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()
            os._exit(0 if done < 0 else 9)
        print(os.waitpid(pid, 0)[1])
    """
    assert await told(either, source) in (0, 11, 31), "refused, or killed for trying"


@pytest.mark.usefixtures("strict")
async def test_row_09_the_first_process_can_neither_be_read_nor_changed_nor_killed(either: Sandbox) -> None:
    source = """
        import json, os, signal, time
        open_ = []
        for name in ('mem', 'environ', 'root', 'cwd', 'exe', 'maps', 'auxv', 'pagemap', 'stack', 'syscall', 'io'):
            try: open_.append((name, len(os.read(os.open('/proc/1/' + name, os.O_RDONLY), 10))))
            except OSError: pass
        for folder in ('fd', 'ns', 'map_files', 'task/1/fd'):
            for name in ('0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'mnt', 'user', 'pid', 'net'):
                try: open_.append((folder, name, os.open('/proc/1/%s/%s' % (folder, name), os.O_RDONLY)))
                except OSError: pass
        for name in ('mem', 'comm', 'oom_score_adj', 'uid_map', 'setgroups', 'sched', 'timerslack_ns', 'attr/current'):
            try: open_.append((name, os.write(os.open('/proc/1/' + name, os.O_WRONLY), b'0')))
            except OSError: pass
        for number in range(1, 65):
            try: os.kill(1, number)
            except OSError: pass
        time.sleep(0.3)
        print(json.dumps([open_, os.getppid()]))
    """
    assert await told(either, source) == [[], 1]


@pytest.mark.usefixtures("strict")
async def test_row_09_nothing_of_the_kernel_can_be_written(either: Sandbox) -> None:
    """The whole of /proc and /sys, file by file. Root owns these files, so only what is mounted stands in its way."""
    source = """
        import json, os, stat
        opened, seen = [], 0
        for top in ('/proc', '/sys'):
            for folder, folders, files in os.walk(top):
                if folder == '/proc':
                    folders[:] = [name for name in folders if not name.isdigit() and 'self' not in name]
                for name in files:
                    path = os.path.join(folder, name)
                    if not stat.S_ISREG(os.lstat(path).st_mode): continue
                    seen += 1
                    try: os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK)); opened.append(path)
                    except OSError: pass
        print(json.dumps([opened, seen > 1000]))
    """
    opened, enough = json.loads((await ran(either, source)).output)
    # Where a container is all there is, the kernel lets anyone ask for word of pressure; that changes nothing.
    assert [path for path in opened if not path.startswith("/proc/pressure/")] == []
    assert enough


@pytest.mark.parametrize(
    "command",
    [
        "mount -t tmpfs none /mnt", "mount --bind / /mnt", "umount /proc", "unshare -Ur true", "nsenter -t 1 -m true",
        "mknod /tmp/disk b 8 0 && cat /tmp/disk", "echo 1 > /proc/sys/kernel/core_pattern",
        "echo c > /proc/sysrq-trigger", "echo 1 > /sys/fs/cgroup/pids/pids.max", "mkdir /sys/fs/cgroup/memory/x",
        "cat /proc/kcore", "test -s /proc/keys", "test -s /proc/kmsg", "ls /sys/firmware/*", "dmesg", "chroot / true",
        "date -s 2000-01-01", "hostname other", "ip link add dummy0 type dummy",
        "cat /dev/mem", "losetup -f",
        "test -e /var/run/docker.sock", "find / -xdev -perm -4000 -exec cp -p {} /tmp/s \\; -quit; /tmp/s -c id",
    ],
)  # fmt: skip
async def test_row_09_privileged_acts_are_denied(either: Sandbox, command: str) -> None:
    async with either.workspace() as workspace:
        execution = await workspace.run(["sh", "-c", command], limits=QUICK)
    assert execution.ended is Ended.EXITED
    assert execution.exit_code != 0, execution.output


@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize(
    "command", ["chmod 0 /dev/null", "touch -d 2000-01-01 /dev/zero", "ls /proc/1/root/", "ls /proc/1/fd/0"]
)
async def test_row_09_what_is_shared_with_the_next_execution_cannot_be_changed(either: Sandbox, command: str) -> None:
    async with either.workspace() as workspace:
        execution = await workspace.run(["sh", "-c", command], limits=QUICK)
    assert execution.exit_code != 0, execution.output


async def test_row_09_a_program_with_root_s_bit_gives_nothing(either: Sandbox) -> None:
    """A copy of a shell with the set-user-id bit, as an image may hold some."""
    source = """
        import json, os, shutil, subprocess
        shutil.copy('/bin/sh', '/tmp/sh'); os.chmod('/tmp/sh', 0o6755)
        status = subprocess.run(['/tmp/sh', '-c', 'cat /proc/self/status'], capture_output=True, text=True).stdout
        words = dict(line.split(':', 1) for line in status.splitlines())
        print(json.dumps([words['CapEff'].strip(), words['CapBnd'].strip(), words['NoNewPrivs'].strip()]))
    """
    assert await told(either, source) == ["0" * 16, "0" * 16, "1"]


async def test_row_09_a_canary_of_the_host_is_nowhere(either: Sandbox, tmp_path: Path) -> None:
    """A file of this machine, by every path that could lead to it."""
    canary = tmp_path / "canary"
    canary.write_text("canary-of-the-host")
    source = f"""
        import json, os
        found = []
        for start in ('', '/proc/1/root', '/proc/self/root', '/proc/1/cwd', '/opt/bestpatch/run',
                      '/opt/bestpatch/run/root', '/dev/fd/0/../..',
                      '/host', '/mnt', '/..', '/proc/self/cwd/../../../..'):
            try: found.append(open(start + {str(canary)!r}).read())
            except OSError: pass
        print(json.dumps([found, os.listdir('/opt/bestpatch/run'), [n for n in os.environ if 'BESTPATCH' in n]]))
    """
    found, run_folder, names = json.loads((await ran(either, source)).output)
    assert found == []
    assert set(run_folder) <= {"start"}, "the place's own folder is empty; a container's holds the command itself"
    assert names == []


# Row 13: destruction

RUIN = """
    import glob, os, shutil, sys
    for path in (*glob.glob('/testbed/*'), '/testbed/.git', *sys.path, '/tmp/bestpatch-script', os.environ['HOME']):
        shutil.rmtree(path, ignore_errors=True)
        try: os.unlink(path)
        except OSError: pass
    for path in (sys.executable, os.path.realpath(sys.executable), '/bin/sh', '/usr/bin/git',
                 '/opt/bestpatch/prepare.py'):
        try: os.unlink(path)
        except OSError: pass
        try: open(path, 'w').write('#!/bin/sh\\necho forged; exit 0\\n'); os.chmod(path, 0o755)
        except OSError: pass
    print('ruined')
"""


async def test_row_13_what_is_destroyed_is_whole_for_the_next(either: Sandbox) -> None:
    assert (await ran(either, RUIN)).output.endswith("ruined\n")
    fixed = await either.make_patch({RepoPath("calc.py"): FIXED})
    script = "from calc import add\nassert add(1, 2) == 3\n"
    assert (await run_script(either, script, fixed, QUICK)).verdict is Verdict.PASSED
    assert (await run_script(either, script, UNEDITED, QUICK)).verdict is Verdict.FAILED
    async with either.workspace() as workspace:
        assert await workspace.diff() == UNEDITED
        assert await workspace.read("calc.py") == CALC


@pytest.mark.parametrize(
    "trap",
    [
        "ln -s /etc/passwd {path}", "ln -s /dev/full {path}", "mkfifo {path}", "ln -s {path} {path}",
        "mkdir /tmp/x && ln -s /tmp/x/none {path}", "ln -s /proc/self/mem {path}", "echo x > {path}; chmod 0 {path}",
    ],
)  # fmt: skip
async def test_row_13_files_of_ours_do_not_go_through_what_lies_in_their_place(sandbox: Sandbox, trap: str) -> None:
    path = "/tmp/bestpatch-file"
    async with sandbox.workspace() as workspace:
        laid = await workspace.run(["sh", "-c", trap.format(path=path)], limits=QUICK)
        await workspace.write(path, b"ours\n")
        assert await workspace.read(path) == b"ours\n"
        passwd = await workspace.run(["grep", "-c", "ours", "/etc/passwd"], limits=QUICK)
    assert laid.exit_code == 0, laid.output
    assert passwd.output == "0\n"


# Row 14: the next candidate

LEAVE = """
    import ctypes, mmap, os, socket, subprocess, sys
    for folder in ('/tmp', '/dev/shm', '/var/tmp', os.environ['HOME'], '/testbed', '/run', '/dev', '/opt/bestpatch/run',
                   '/usr/lib', '/etc', '/dev/mqueue', '/sys/fs/cgroup', '/'):
        try: open(folder + '/canary', 'w').write('canary')
        except OSError: pass
    libc = ctypes.CDLL(None)
    libc.shmget(0xCA4A, 4096, 0o1666); libc.semget(0xCA4A, 1, 0o1666); libc.msgget(0xCA4A, 0o1666)
    s = socket.socket(socket.AF_UNIX); s.bind('\\0canary'); s.listen()
    t = socket.create_server(('127.0.0.1', 4242)); c = socket.create_connection(('127.0.0.1', 4242))
    t.accept()[0].close()  # this end waits in TIME_WAIT
    os.umask(0o777)
    for path in ('/dev/null', '/dev/zero', '/tmp', '/dev/shm'):
        try: os.chmod(path, 0)
        except OSError: pass
        try: os.utime(path, (1, 1))
        except OSError: pass
    subprocess.Popen([sys.executable, '-c', 'import time; canary = 1; time.sleep(600)'], start_new_session=True)
    print('left')
"""
LOOK = """
    import ctypes, json, os, socket
    found = []
    word = 'can' + 'ary'  # in two, so that this program does not find itself
    for folder, folders, files in os.walk('/'):
        if folder == '/proc': folders[:] = []
        found += [os.path.join(folder, name) for name in files if word in name]
    for name in os.listdir('/proc'):
        if name.isdigit() and word in open('/proc/%s/cmdline' % name).read(): found.append('process')
    libc = ctypes.CDLL(None)
    for left in (libc.shmget(0xCA4A, 4096, 0), libc.semget(0xCA4A, 1, 0), libc.msgget(0xCA4A, 0)):
        found += ['ipc'] * (left != -1)
    try: socket.socket(socket.AF_UNIX).connect('\\0' + word); found.append('abstract socket')
    except OSError: pass
    try: socket.create_server(('127.0.0.1', 4242), reuse_port=False)
    except OSError: found.append('port')
    for path in ('/dev/null', '/dev/zero', '/tmp', '/dev/shm'):
        if not os.stat(path).st_mode & 0o222 or os.stat(path).st_mtime < 10: found.append(path)
    print(json.dumps([found, os.umask(0)]))
"""


async def test_row_14_nothing_is_left_for_the_next(either: Sandbox) -> None:
    """More rounds than there are warm places, so that each is used again."""
    for _ in range(4):
        assert (await ran(either, LEAVE)).output == "left\n"
        assert await told(either, LOOK) == [[], 0o022]


async def test_row_14_neighbours_see_nothing_of_each_other(either: Sandbox) -> None:
    fixed = await either.make_patch({RepoPath("calc.py"): FIXED, RepoPath("canary.py"): b"canary\n"})
    async with either.workspace(fixed) as first, either.workspace() as second:
        stay = textwrap.dedent(LEAVE)
        assert (await first.run([either.python, "-c", stay], limits=QUICK)).output == "left\n"
        look = await second.run([either.python, "-c", textwrap.dedent(LOOK)], limits=QUICK)
        assert json.loads(look.output) == [[], 0o022]
        assert await second.read("calc.py") == CALC
