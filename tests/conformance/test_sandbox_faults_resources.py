"""Rows 1-7 of the table of faults: an execution eats what there is, or will not end.

Each ends typed (`Execution.ended`, `Execution.reached`), the next command and the next workspace work, and nobody
beside it notices.
"""

from __future__ import annotations

import anyio
import pytest

from sandbox.base import Ended, Execution, Limit, Limits, Sandbox, Workspace
from tests.conformance.conftest import Trial
from tests.conformance.memory import resident

QUICK = Limits(seconds=30.0, memory_bytes=512 * 1024**2, output_bytes=20_000)
SMALL = Limits(seconds=60.0, memory_bytes=192 * 1024**2, processes=100, output_bytes=20_000)
DEADLINE = Limits(seconds=2.0, memory_bytes=512 * 1024**2, processes=100)


async def python(workspace: Workspace, sandbox: Sandbox, source: str, limits: Limits = QUICK) -> Execution:
    return await workspace.run([sandbox.python, "-c", source], limits=limits)


async def all_is_well(sandbox: Sandbox) -> bool:
    """A new workspace is pristine and takes a command."""
    async with sandbox.workspace() as workspace:
        execution = await workspace.run(["sh", "-c", "git status --porcelain; ls /tmp /dev/shm"], limits=QUICK)
    return (execution.exit_code, execution.output.split()) == (0, ["/dev/shm:", "/tmp:"])


# Row 1: a fork bomb

BOMBS = {
    "classic": ["sh", "-c", "b() { b | b & }; b; sleep 60"],
    "sessions of their own": ["python3", "-c", "import os\nwhile True:\n try:\n  os.fork() or os.setsid()\n except OSError: pass"],  # noqa: E501
    "threads": ["python3", "-c", "import threading, time\nwhile True:\n try: threading.Thread(target=time.sleep, args=(60,)).start()\n except RuntimeError: pass"],  # noqa: E501
    "zombies": ["python3", "-c", "import os, time\nwhile True:\n try:\n  if not os.fork(): os._exit(0)\n except OSError: pass"],  # noqa: E501
}  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS)
async def test_row_01_a_fork_bomb_hits_its_own_limit_and_nobody_elses(
    trial: Trial, sandbox: Sandbox, bomb: str
) -> None:
    async with sandbox.workspace() as workspace, sandbox.workspace() as neighbour:
        async with anyio.create_task_group() as group:
            beside: list[Execution] = []

            async def work_on() -> None:
                await anyio.sleep(0.5)
                beside.append(await neighbour.run(["sh", "-c", "for i in 1 2 3; do (echo $i); done"], limits=QUICK))

            group.start_soon(work_on)
            execution = await workspace.run(BOMBS[bomb], limits=DEADLINE)
        after = await workspace.run(["echo", "fine"], limits=QUICK)
    # A shell that cannot fork for its own next command ends.
    assert execution.ended is Ended.TIMED_OUT or (bomb, execution.exit_code) == ("classic", 2)
    assert Limit.PROCESSES in execution.reached or not trial.strict
    assert beside[0].output.split() == ["1", "2", "3"]
    assert (after.output, after.reached) == ("fine\n", frozenset())
    assert await all_is_well(sandbox)


@pytest.mark.usefixtures("strict")
async def test_row_01_a_command_that_meets_the_limit_and_goes_on_is_told_apart(sandbox: Sandbox) -> None:
    source = "import os, signal\ntry:\n while True: os.fork() or signal.pause()\nexcept OSError: print('refused')"
    async with sandbox.workspace() as workspace:
        execution = await python(workspace, sandbox, source, SMALL)
    assert (execution.ended, execution.exit_code, execution.output) == (Ended.EXITED, 0, "refused\n")
    assert execution.reached == {Limit.PROCESSES}


# Row 2: memory

HUNGRY = {
    "at once": "x = bytearray(2 * 10**9)\nfor i in range(0, len(x), 4096): x[i] = 1",
    "step by step": "x = []\nwhile True: x.append(bytearray(10**7))",
    "children": "import os\nwhile True:\n if not os.fork():\n  x = []\n  while True: x.append(bytearray(10**7))\n os.wait()",  # noqa: E501
    "a file in memory": "import os\nf = os.memfd_create('x')\nwhile True: os.write(f, b'x' * 10**6)",
    "pipes": "import os\nwhile True:\n r, w = os.pipe()\n os.set_blocking(w, False)\n os.write(w, b'x' * 10**6)",
}


@pytest.mark.parametrize("how", HUNGRY)
async def test_row_02_a_memory_bomb_is_out_of_memory_and_no_timeout(trial: Trial, sandbox: Sandbox, how: str) -> None:
    limits = Limits(seconds=60, memory_bytes=64 * 1024**2, processes=64)
    source = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (4000, 4000))\n" + HUNGRY[how]
    async with sandbox.workspace() as workspace, sandbox.workspace() as neighbour:
        if how == "children":
            limits = Limits(seconds=4, memory_bytes=64 * 1024**2)
        execution = await python(workspace, sandbox, source, limits)
        beside = await neighbour.run(["echo", "fine"], limits=QUICK)
        after = await workspace.run(["echo", "fine"], limits=QUICK)
    if how == "pipes" and execution.ended is Ended.EXITED and not execution.reached:
        assert "Error" in execution.output  # the kernel counts pipes for each user and gives no more
    else:
        assert Limit.MEMORY in execution.reached or not trial.strict
        assert execution.ended is (Ended.TIMED_OUT if how == "children" else Ended.OUT_OF_MEMORY)
    assert (beside.output, after.output) == ("fine\n", "fine\n")


async def test_row_02_asking_for_absurd_memory_is_an_ordinary_error(sandbox: Sandbox) -> None:
    async with sandbox.workspace() as workspace:
        execution = await python(workspace, sandbox, "bytearray(10**15)")
    assert (execution.ended, execution.exit_code) == (Ended.EXITED, 1)
    assert "MemoryError" in execution.output


@pytest.mark.parametrize("act", ["echo 0 > /proc/self/oom_score_adj", "echo 1000 > /proc/1/oom_score_adj"])
async def test_row_02_nobody_can_have_another_process_killed_for_its_memory(either: Sandbox, act: str) -> None:
    """A small process that eats memory it does not hold would otherwise have the sandbox's own killed in its place."""
    fill = "import os\nf = os.memfd_create('x')\nwhile True: os.write(f, b'x' * 10**6)"
    async with either.workspace() as workspace:
        execution = await workspace.run(["sh", "-c", f'{act}; exec python3 -c "{fill}"'], limits=SMALL)
        after = await workspace.run(["echo", "fine"], limits=QUICK)
    assert execution.ended is Ended.OUT_OF_MEMORY
    assert after.output == "fine\n"


# Rows 3 and 4: disk and inodes

FILL = "i=0; while dd if=/dev/zero of={folder}/fill$i bs=1M count=100 2>/dev/null; do i=$((i+1)); done; echo stopped"


@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize("folder", ["/testbed", "/tmp", "/dev/shm", "$HOME"])
async def test_row_03_a_disk_fill_is_stopped_and_told(sandbox: Sandbox, folder: str) -> None:
    async with sandbox.workspace() as workspace, sandbox.workspace() as neighbour:
        execution = await workspace.run(["sh", "-c", FILL.format(folder=folder)], limits=QUICK)
        beside = await neighbour.run(["sh", "-c", "head -c 1000000 /dev/zero > /tmp/x && echo fine"], limits=QUICK)
        cleared = await workspace.run(["sh", "-c", f"rm {folder}/fill*; echo x > /tmp/x && cat /tmp/x"], limits=QUICK)
    assert (execution.ended, execution.output) == (Ended.EXITED, "stopped\n")
    assert execution.reached == {Limit.DISK}
    assert (beside.output, beside.reached) == ("fine\n", frozenset())
    assert (cleared.output, cleared.reached) == ("x\n", frozenset())
    assert await all_is_well(sandbox)


MANY = {
    "files": "open(f'{n}', 'w').close()",
    "folders": "os.mkdir(f'{n}')",
    "symbolic links": "os.symlink('x' * 200, f'{n}')",
    "hard links": "os.link('../calc.py', f'{n}')",
}


@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize("what", MANY)
async def test_row_04_endless_files_are_stopped_and_told(sandbox: Sandbox, what: str) -> None:
    source = (
        "import os\nos.mkdir('/testbed/many'); os.chdir('/testbed/many')\nn = 0\n"
        f"try:\n  while True:\n    {MANY[what]}; n += 1\nexcept OSError as error: print(error.errno)"
    )
    limits = Limits(seconds=90, memory_bytes=128 * 1024**2)
    async with sandbox.workspace() as workspace:
        execution = await python(workspace, sandbox, source, limits)
        after = await workspace.run(["echo", "fine"], limits=QUICK)
    assert (execution.ended, execution.output) == (Ended.EXITED, "28\n")
    assert execution.reached == {Limit.DISK}
    assert after.output == "fine\n"
    assert await all_is_well(sandbox)


async def test_row_04_the_diff_of_a_very_deep_folder_comes_to_an_end(sandbox: Sandbox) -> None:
    source = "import os\nfor _ in range(3000): os.mkdir('deep'); os.chdir('deep')\nopen('f', 'w').close()"
    async with sandbox.workspace() as workspace:
        made = await python(workspace, sandbox, source)
        await workspace.write("calc.py", b"changed\n")
        patch = await workspace.diff()
    assert made.exit_code == 0, made.output
    assert "+changed" in patch
    assert await all_is_well(sandbox)


# Row 5: output

STORMS = {
    "no line break": "b'z' * 2**20",
    "binary": "bytes(range(256)) * 2**12",
    "carriage returns": "b'\\r' * 2**20",
    "colours": "b'\\x1b[31m\\x1b[0m\\x1b[2J' * 2**16",
    "broken characters": "b'\\xe4\\xbd' * 2**19",
}


@pytest.mark.parametrize("kind", STORMS)
async def test_row_05_an_output_storm_is_drained_counted_and_cut(sandbox: Sandbox, kind: str) -> None:
    source = f"import os\nd = {STORMS[kind]}\nn = 0\nos.write(1, b'START')\n"
    source += "while n < 200 * 2**20: n += os.write(1, d)\nos.write(1, b'END'); print('', n, end='')"
    before = resident()
    async with sandbox.workspace() as workspace:
        execution = await python(workspace, sandbox, source, Limits(seconds=100, output_bytes=100_000))
    assert execution.ended is Ended.EXITED
    assert execution.output.startswith("START")
    told = execution.output.rpartition(" ")[2]
    assert execution.output_bytes == int(told) + len(f"STARTEND {told}") >= 200 * 2**20
    assert len(execution.output) <= 100_100
    assert resident() - before < 60_000_000


# Rows 6 and 7: what will not end

ENDLESS = {
    "sleeps and ignores every signal": "for n in range(1, 65):\n try: signal.signal(n, signal.SIG_IGN)\n except (OSError, ValueError): pass\nsignal.pause()",  # noqa: E501
    "leads a session": "os.fork() or os.setsid()\ntime.sleep(60)",
    "is forked twice, in a session, with the output held open": "if not os.fork():\n os.setsid()\n os.fork()\ntime.sleep(60)",  # noqa: E501
    "stops itself": "os.kill(os.getpid(), signal.SIGSTOP)",
    "stops its session": "os.fork(); os.kill(0, signal.SIGSTOP)",
    "stops all it may": "os.fork(); os.kill(-1, signal.SIGSTOP); time.sleep(60)",
    "waits where no signal ends it": "import ctypes; ctypes.CDLL(None).syscall(58) or time.sleep(60)",  # vfork
    "closed its output": "[os.close(n) for n in range(3)]\ntime.sleep(60)",
    "signals its init without end": "while True:\n for n in range(1, 65):\n  try: os.kill(1, n)\n  except OSError: pass",  # noqa: E501
}  # fmt: skip


@pytest.mark.parametrize("how", ENDLESS)
async def test_row_06_and_07_the_deadline_ends_whatever_will_not_end(trial: Trial, sandbox: Sandbox, how: str) -> None:
    if how == "signals its init without end" and not trial.strict:
        pytest.skip("Docker's init hands the signals on to the command, which they end")
    source = f"import os, signal, time\nos.write(1, b'here-i-stay')\n{ENDLESS[how]}\n"
    async with sandbox.workspace() as workspace:
        execution = await python(workspace, sandbox, source, DEADLINE)
        after = await workspace.run(["sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"], limits=QUICK)
    assert (execution.ended, execution.exit_code, execution.output) == (Ended.TIMED_OUT, None, "here-i-stay")
    assert Limit.TIME in execution.reached
    assert "here-i-stay" not in after.output, "none of its processes is left"
    assert await all_is_well(sandbox)


async def test_row_06_children_that_hold_the_output_open_do_not_outlive_their_parent(sandbox: Sandbox) -> None:
    source = "import os, time\nif not os.fork():\n os.setsid(); time.sleep(3600)\nprint('done')"
    async with sandbox.workspace() as workspace:
        execution = await python(workspace, sandbox, source)
    assert (execution.ended, execution.exit_code, execution.output) == (Ended.EXITED, 0, "done\n")


async def test_row_06_output_handed_over_in_a_ring_of_sockets_is_closed_all_the_same(sandbox: Sandbox) -> None:
    """File descriptors in flight, in a circle, are freed by the kernel only when it looks for such circles."""
    source = (
        "import array, os, socket\na, b = socket.socketpair()\n"
        "for s, t in ((a, b), (b, a)):\n"
        "  s.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [1, t.fileno()]))])\n"
        "print('done')"
    )
    async with sandbox.workspace() as workspace:
        execution = await python(workspace, sandbox, source)
    assert (execution.ended, execution.output) == (Ended.EXITED, "done\n")


async def test_many_workspaces_at_once_come_to_their_end(sandbox: Sandbox) -> None:
    """More than there are slots, with bombs among them: each has its own end."""
    found: list[Ended] = []

    async def one(number: int) -> None:
        async with sandbox.workspace() as workspace:
            bomb = number % 8 == 0
            limits = Limits(seconds=1.5 if bomb else 30.0, memory_bytes=256 * 1024**2, processes=64)
            command = "b() { b | b & }; b; sleep 60" if bomb else "exit 0"
            execution = await workspace.run(["sh", "-c", command], limits=limits)
            if not bomb:
                found.append(execution.ended)

    async with anyio.create_task_group() as group:
        for number in range(16):
            group.start_soon(one, number)
    assert found == [Ended.EXITED] * 14
    assert await all_is_well(sandbox)


async def test_a_very_long_command_and_a_very_large_file_go_in(sandbox: Sandbox) -> None:
    async with sandbox.workspace() as workspace:
        word = await workspace.run(["sh", "-c", 'echo "${#1} ${#BIG}"', "x", "a" * 120_000], env={"BIG": "b" * 100_000})
        too_long = await workspace.run(["true", "a" * 3_000_000], limits=QUICK)
        await workspace.write("/tmp/large", b"x" * 100_000_000)
        size = await workspace.run(["stat", "-c", "%s", "/tmp/large"], limits=QUICK)
        after = await workspace.run(["echo", "fine"], limits=QUICK)
    assert word.output == "120000 100000\n"
    assert too_long.ended is Ended.EXITED
    assert too_long.exit_code not in (0, 2)
    assert size.output == "100000000\n"
    assert after.output == "fine\n"
