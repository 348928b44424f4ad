"""What every backend promises of one execution: its end, its output, its limits, and that nothing survives it."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import anyio
import pytest

from sandbox.base import UNEDITED, Ended, Execution, Limit, Limits, Sandbox, Workspace
from sandbox.errors import SandboxLost, WorkspaceError
from sandbox.script import SCRIPT_PATH, Verdict, run_script
from tests.conformance.conftest import Trial
from tests.conformance.memory import resident
from tests.conformance.repository import CALC, Repository

QUICK = Limits(seconds=20.0, memory_bytes=512 * 1024**2, output_bytes=20_000)
DEADLINE = Limits(seconds=1.5, memory_bytes=512 * 1024**2)


async def python(workspace: Workspace, sandbox: Sandbox, source: str, limits: Limits = QUICK) -> Execution:
    return await workspace.run([sandbox.python, "-c", source], limits=limits)


# How it ends


@pytest.mark.parametrize("code", [0, 1, 2, 77, 255])
async def test_the_exit_code_is_the_commands(sandbox: Sandbox, code: int) -> None:
    async with sandbox.workspace() as workspace:
        execution = await workspace.run(["sh", "-c", f"exit {code}"], limits=QUICK)
    assert (execution.ended, execution.exit_code) == (Ended.EXITED, code)


@pytest.mark.parametrize("number", [6, 9, 11, 15])
async def test_a_signal_of_its_own_is_128_plus_its_number(sandbox: Sandbox, number: int) -> None:
    async with sandbox.workspace() as workspace:
        execution = await python(workspace, sandbox, f"import os; os.kill(os.getpid(), {number})")
    assert (execution.ended, execution.exit_code) == (Ended.EXITED, 128 + number)


async def test_a_command_that_is_not_there_is_127(sandbox: Sandbox) -> None:
    async with sandbox.workspace() as workspace:
        execution = await workspace.run(["no-such-command"], limits=QUICK)
    assert (execution.ended, execution.exit_code) == (Ended.EXITED, 127)
    assert "no-such-command" in execution.output


async def test_exit_124_and_137_of_its_own_are_no_timeouts(sandbox: Sandbox) -> None:
    async with sandbox.workspace() as workspace:
        for code in (124, 137):
            execution = await workspace.run(["sh", "-c", f"exit {code}"], limits=QUICK)
            assert (execution.ended, execution.exit_code) == (Ended.EXITED, code)


# What it is given


async def test_arguments_arrive_as_they_are(sandbox: Sandbox) -> None:
    words = ["", " ", "a b", "'", '"', "$HOME", "`id`", "a\nb", "\\", "*", "caf\u00e9 \u4f60", "-n", "!x"]
    async with sandbox.workspace() as workspace:
        source = "import json, sys; print(json.dumps(sys.argv[1:]))"
        execution = await workspace.run([sandbox.python, "-c", source, *words], limits=QUICK)
    assert json.loads(execution.output) == words


async def test_environment_and_folder_are_as_asked(sandbox: Sandbox) -> None:
    source = "import json, os; print(json.dumps([os.environ['ODD'], os.getcwd()]))"
    async with sandbox.workspace() as workspace:
        here = await workspace.run([sandbox.python, "-c", source], env={"ODD": "a 'b'\n$c"}, limits=QUICK)
        there = await workspace.run([sandbox.python, "-c", source], cwd="src/shop", env={"ODD": ""}, limits=QUICK)
        away = await workspace.run([sandbox.python, "-c", source], cwd="/tmp", env={"ODD": "x"}, limits=QUICK)
        root = workspace.repository
    assert json.loads(here.output) == ["a 'b'\n$c", root]
    assert json.loads(there.output) == ["", f"{root}/src/shop"]
    assert json.loads(away.output) == ["x", "/tmp"]


async def test_a_folder_that_is_not_there_is_an_end_not_an_error(sandbox: Sandbox) -> None:
    async with sandbox.workspace() as workspace:
        execution = await workspace.run(["true"], cwd="no/such/folder", limits=QUICK)
    assert execution.ended is Ended.EXITED
    assert execution.exit_code not in (0, 2)


async def test_standard_input_is_closed(sandbox: Sandbox) -> None:
    async with sandbox.workspace() as workspace:
        execution = await python(workspace, sandbox, "import sys; print(repr(sys.stdin.read()))")
    assert execution.output == "''\n"


async def test_the_environment_is_pinned(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BESTPATCH_TEST_SECRET", "canary-1234")
    monkeypatch.setenv("http_proxy", "http://user:canary-1234@proxy.invalid:1")
    async with sandbox.workspace() as workspace:
        execution = await python(workspace, sandbox, "import json, os; print(json.dumps(dict(os.environ)))")
    env = json.loads(execution.output)
    assert "canary-1234" not in execution.output
    pinned = {"TZ": "UTC", "LANG": "C.UTF-8", "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    assert pinned.items() <= env.items()


async def test_the_recipes_variables_are_set(sandbox: Sandbox) -> None:
    async with sandbox.workspace() as workspace:
        execution = await workspace.run(["sh", "-c", 'echo "$FROM_THE_RECIPE"'], limits=QUICK)
    assert execution.output == 'it is "here" $HOME\n'


async def test_the_home_can_be_written_to(sandbox: Sandbox) -> None:
    async with sandbox.workspace() as workspace:
        execution = await workspace.run(["sh", "-c", 'echo x > "$HOME/file" && cat "$HOME/file"'], limits=QUICK)
    assert execution.output == "x\n"


# What it prints


async def test_both_streams_come_in_the_order_of_writing(sandbox: Sandbox) -> None:
    source = "import os\nfor i in range(200): os.write(1 + i % 2, b'%d\\n' % i)"
    async with sandbox.workspace() as workspace:
        execution = await python(workspace, sandbox, source)
    assert execution.output.split() == [str(number) for number in range(200)]


async def test_silence_is_empty_output(sandbox: Sandbox) -> None:
    async with sandbox.workspace() as workspace:
        execution = await workspace.run(["true"], limits=QUICK)
    assert (execution.output, execution.output_bytes) == ("", 0)


async def test_long_output_keeps_both_ends_and_counts_all(sandbox: Sandbox) -> None:
    source = "print('START'); print('x' * 1_000_000); print('END')"
    async with sandbox.workspace() as workspace:
        execution = await python(workspace, sandbox, source)
    assert execution.output.startswith("START\n")
    assert execution.output.endswith("END\n")
    assert execution.output_bytes == 1_000_001 + 6 + 4
    assert len(execution.output) < QUICK.output_bytes + 200


async def test_huge_output_leaves_the_hosts_memory_flat(sandbox: Sandbox) -> None:
    before = resident()
    source = "import os\nfor _ in range(400): os.write(1, b'z' * 1_000_000)"
    async with sandbox.workspace() as workspace:
        execution = await python(workspace, sandbox, source, Limits(seconds=100, output_bytes=100_000))
    assert execution.ended is Ended.EXITED
    assert execution.output_bytes == 400_000_000
    assert resident() - before < 60_000_000


async def test_bytes_that_are_no_text_are_replaced(sandbox: Sandbox) -> None:
    async with sandbox.workspace() as workspace:
        execution = await python(workspace, sandbox, "import os; os.write(1, b'a\\xff\\xfe\\x00b\\r\\x1b[31mred\\n')")
    assert execution.output == "a\ufffd\ufffd\x00b\r\x1b[31mred\n"
    assert execution.output_bytes == 15


async def test_a_character_written_in_pieces_arrives_whole(sandbox: Sandbox) -> None:
    text = "caf\u00e9 \u4f60\u597d \U0001f600"
    source = f"import os, time\nfor byte in {text.encode()!r}: os.write(1, bytes([byte])); time.sleep(.01)"
    async with sandbox.workspace() as workspace:
        execution = await python(workspace, sandbox, source)
    assert execution.output == text


# Deadlines


async def test_a_deadline_ends_it_and_keeps_what_was_printed(sandbox: Sandbox) -> None:
    source = "import time; print('before'); time.sleep(60); print('after')"
    async with sandbox.workspace() as workspace:
        started = time.monotonic()
        execution = await python(workspace, sandbox, source, DEADLINE)
        waited = time.monotonic() - started
    assert (execution.ended, execution.exit_code, execution.output) == (Ended.TIMED_OUT, None, "before\n")
    assert 1.4 < execution.seconds < 10
    assert waited < 15


async def test_used_up_processor_time_is_a_timeout_before_the_deadline(sandbox: Sandbox) -> None:
    limits = replace(DEADLINE, seconds=100.0, cpu_seconds=1)
    async with sandbox.workspace() as workspace:
        execution = await python(workspace, sandbox, "print('before', flush=True)\nwhile True: pass", limits)
        waiting = await python(workspace, sandbox, "import time; time.sleep(2.5)", limits)
    assert (execution.ended, execution.exit_code, execution.output) == (Ended.TIMED_OUT, None, "before\n")
    assert Limit.TIME in execution.reached
    assert waiting.ended is Ended.EXITED, "only what a process uses up counts"


async def test_a_script_that_uses_up_its_processor_time_tells_where_it_was(sandbox: Sandbox) -> None:
    run = await run_script(
        sandbox, "def turn():\n    while True: pass\nassert not turn()", UNEDITED, Limits(cpu_seconds=1)
    )
    assert run.verdict is Verdict.TIMED_OUT
    assert f'File "{SCRIPT_PATH}", line 2 in turn' in run.execution.output


SURVIVORS = {
    "plain": "pass",
    "ignores SIGTERM": "import signal; signal.signal(15, signal.SIG_IGN); signal.signal(1, signal.SIG_IGN)",
    "leads a session": "os.setsid()",
    "forked twice": "os.setsid()\nif os.fork(): os._exit(0)",
    "stops itself": "threading.Timer(0.5, os.kill, (os.getpid(), 19)).start()",
    "closed its output": "os.close(1); os.close(2)",
}


@pytest.mark.parametrize("limits", [DEADLINE, QUICK], ids=["timed out", "ended"])
@pytest.mark.parametrize("how", SURVIVORS)
async def test_no_process_is_alive_afterwards(sandbox: Sandbox, how: str, limits: Limits) -> None:
    """A child writes the time to a file for as long as it lives; its parent waits, or ends at once."""
    child = f"import os, threading, time\n{SURVIVORS[how]}\n" + (
        "while True:\n    open('/tmp/alive', 'a').write('.')\n    time.sleep(.05)"
    )
    source = (
        f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {child!r}]); "
        f"time.sleep({60 if limits is DEADLINE else 1})"
    )
    async with sandbox.workspace() as workspace:
        execution = await python(workspace, sandbox, source, limits)
        first = await workspace.read("/tmp/alive")
        listing = await workspace.run(["sh", "-c", "sleep .3; cat /proc/[0-9]*/cmdline | tr '\\0' ' '"], limits=QUICK)
        second = await workspace.read("/tmp/alive")
    assert execution.ended is (Ended.TIMED_OUT if limits is DEADLINE else Ended.EXITED)
    assert len(first) >= 1
    assert first == second
    assert "/tmp/alive" not in listing.output


async def test_a_command_that_closes_its_output_is_still_held_to_its_deadline(sandbox: Sandbox) -> None:
    source = "import os, time; os.close(1); os.close(2); time.sleep(60)"
    async with sandbox.workspace() as workspace:
        execution = await python(workspace, sandbox, source, DEADLINE)
    assert execution.ended is Ended.TIMED_OUT


async def test_endless_output_is_held_to_its_deadline(sandbox: Sandbox) -> None:
    async with sandbox.workspace() as workspace:
        execution = await workspace.run(["yes"], limits=DEADLINE)
    assert execution.ended is Ended.TIMED_OUT
    assert execution.output_bytes > 100_000


async def test_a_workspace_takes_commands_after_a_timeout(sandbox: Sandbox) -> None:
    async with sandbox.workspace() as workspace:
        await workspace.run(["sh", "-c", "echo kept > /tmp/file; sleep 60"], limits=DEADLINE)
        execution = await workspace.run(["cat", "/tmp/file"], limits=QUICK)
        again = await workspace.run(["git", "status", "--short"], limits=QUICK)
    assert execution.output == "kept\n"
    assert (again.exit_code, again.output) == (0, "")


async def test_cancellation_is_prompt_and_leaves_a_usable_workspace(sandbox: Sandbox) -> None:
    async with sandbox.workspace() as workspace:
        started = time.monotonic()
        with anyio.move_on_after(1.0) as scope:
            await workspace.run(["sh", "-c", "while :; do date >> /tmp/alive; sleep .05; done"], limits=QUICK)
        assert scope.cancelled_caught
        assert time.monotonic() - started < 8
        first = await workspace.read("/tmp/alive")
        execution = await workspace.run(["true"], limits=QUICK)
        assert execution.exit_code == 0
        assert await workspace.read("/tmp/alive") == first


# Limits


async def test_too_much_memory_is_told_apart_from_a_timeout(sandbox: Sandbox) -> None:
    source = "print('eating')\nkept = []\nwhile True: kept.append(bytearray(10_000_000))"
    async with sandbox.workspace() as workspace:
        small = await python(workspace, sandbox, source, Limits(seconds=60, memory_bytes=128 * 1024**2))
        after = await workspace.run(["true"], limits=QUICK)
    assert (small.ended, small.exit_code, small.output) == (Ended.OUT_OF_MEMORY, None, "eating\n")
    assert after.exit_code == 0


async def test_the_memory_limit_is_each_executions_own(sandbox: Sandbox) -> None:
    source = "x = bytearray(200_000_000)\nprint(len(x))"
    async with sandbox.workspace() as workspace:
        small = await python(workspace, sandbox, source, Limits(seconds=60, memory_bytes=100 * 1024**2))
        large = await python(workspace, sandbox, source, Limits(seconds=60, memory_bytes=500 * 1024**2))
    assert small.ended is Ended.OUT_OF_MEMORY
    assert large.output == "200000000\n"


async def test_a_fork_bomb_hits_the_process_limit_only_inside(sandbox: Sandbox) -> None:
    source = "import os, time\nwhile True:\n    try: os.fork()\n    except OSError: time.sleep(.1)"
    limits = Limits(seconds=2.0, processes=60, memory_bytes=512 * 1024**2)
    async with sandbox.workspace() as bomb, sandbox.workspace() as other:
        execution = await python(bomb, sandbox, source, limits)
        assert execution.ended is Ended.TIMED_OUT
        assert (await other.run(["echo", "fine"], limits=QUICK)).output == "fine\n"
        assert (await bomb.run(["echo", "fine"], limits=QUICK)).output == "fine\n"


async def test_the_process_limit_counts(sandbox: Sandbox) -> None:
    source = (
        "import subprocess\nstarted = []\n"
        "try:\n    for _ in range(100): started.append(subprocess.Popen(['sleep', '30']))\n"
        "except OSError: pass\nprint(len(started))"
    )
    async with sandbox.workspace() as workspace:
        execution = await python(workspace, sandbox, source, Limits(seconds=60, processes=40))
    assert 10 < int(execution.output) < 40


async def test_a_file_may_not_grow_beyond_its_limit(sandbox: Sandbox) -> None:
    limits = Limits(seconds=60, file_bytes=1024**2)
    async with sandbox.workspace() as workspace:
        source = "f = open('/tmp/f', 'wb')\ntry:\n    for _ in range(50): f.write(b'x' * 100_000); f.flush()\n"
        execution = await python(workspace, sandbox, source + "except OSError as e: print(e.errno)", limits)
        assert execution.output == "27\n"
        assert len(await workspace.read("/tmp/f")) == 1024**2


async def test_many_at_once_all_come_to_their_end(sandbox: Sandbox) -> None:
    found: list[str] = []

    async def one(number: int) -> None:
        async with sandbox.workspace() as workspace:
            found.append((await workspace.run(["echo", str(number)], limits=QUICK)).output.strip())

    async with anyio.create_task_group() as group:
        for number in range(8):
            group.start_soon(one, number)
    assert sorted(found) == [str(number) for number in range(8)]


# Files


async def test_files_go_in_and_out_unchanged(sandbox: Sandbox) -> None:
    data = bytes(range(256)) * 100
    async with sandbox.workspace() as workspace:
        await workspace.write("new/deep folder/\u00fcn\u00efcode.bin", data)
        await workspace.write("/tmp/other/file", b"")
        await workspace.write("calc.py", b"changed\n")
        assert await workspace.read("new/deep folder/\u00fcn\u00efcode.bin") == data
        assert await workspace.read("/tmp/other/file") == b""
        assert await workspace.read("calc.py") == b"changed\n"
        writable = await workspace.run(
            ["sh", "-c", "echo x >> calc.py && echo x > new/file && rm -r new"], limits=QUICK
        )
    assert writable.exit_code == 0, writable.output


async def test_errors_of_files_are_workspace_errors(sandbox: Sandbox) -> None:
    async with sandbox.workspace() as workspace:
        for path in ("no/such/file", "src", "", "calc.py/below"):
            with pytest.raises(WorkspaceError):
                await workspace.read(path)
        for path in ("", "src", "calc.py/below", "src/"):
            with pytest.raises(WorkspaceError):
                await workspace.write(path, b"x")
        await workspace.run(["sh", "-c", "head -c 17000000 /dev/zero > /tmp/large; mkfifo /tmp/pipe"], limits=QUICK)
        for path in ("/tmp/large", "/tmp/pipe"):
            with pytest.raises(WorkspaceError):
                await workspace.read(path)
        assert (await workspace.run(["true"], limits=QUICK)).exit_code == 0


async def test_the_tree_is_the_base_commits(sandbox: Sandbox) -> None:
    from tests.conformance.repository import regular_files

    tree = await sandbox.tree()
    wanted = {path: data for path, data in regular_files().items() if len(data) <= 1024**2}
    assert dict(tree) == wanted
    assert "big.txt" not in tree


# Life and death


async def test_workspaces_are_pristine_and_see_nothing_of_each_other(sandbox: Sandbox) -> None:
    spoil = "rm calc.py; echo x > new.py; echo canary > /tmp/canary; git commit -qam x; sleep 2"
    async with sandbox.workspace() as first, sandbox.workspace() as second:
        await first.run(["sh", "-c", spoil], limits=QUICK)
        seen = await second.run(["sh", "-c", "ls /tmp; git status --short; cat calc.py; ps aux || true"], limits=QUICK)
    async with sandbox.workspace() as third:
        assert await third.read("calc.py") == CALC
        assert (await third.run(["git", "status", "--short"], limits=QUICK)).output == ""
    assert "canary" not in seen.output
    assert CALC.decode() in seen.output


async def test_closing_leaves_nothing_behind(trial: Trial, repository: Repository) -> None:
    backend = trial.make()
    run_id = "test-closing"
    opened = await backend.open(trial.environment, repository.snapshot, run_id=run_id)
    scope = anyio.CancelScope()

    async def hang() -> None:
        async with opened.workspace() as workspace:
            await workspace.run(["sleep", "60"], limits=QUICK)

    with scope:
        async with anyio.create_task_group() as group:
            group.start_soon(hang)
            group.start_soon(hang)
            await anyio.sleep(1.0)
            assert trial.left_behind(run_id)
            scope.cancel()
    await backend.close()
    assert trial.left_behind(run_id) == []
    await backend.close()
    with pytest.raises(SandboxLost):
        async with opened.workspace(UNEDITED):
            pass


async def test_a_second_sandbox_of_the_same_environment_is_the_same(
    trial: Trial, sandbox: Sandbox, repository: Repository
) -> None:
    backend = trial.make()
    try:
        started = time.monotonic()
        again = await backend.open(trial.environment, repository.snapshot, run_id="test-again")
        assert time.monotonic() - started < 20
        assert (again.digest, again.python) == (sandbox.digest, sandbox.python)
    finally:
        await backend.close()


async def test_a_program_without_site_prints_all_before_its_end(sandbox: Sandbox) -> None:
    source = "import sys; print('out', len(sys.modules['__main__'].__dict__['sys'].argv)); sys.exit(3)"
    async with sandbox.workspace() as workspace:
        execution = await workspace.run([sandbox.python, "-I", "-S", "-c", source, "a"], limits=QUICK)
    assert (execution.exit_code, execution.output) == (3, "out 2\n")
