"""Rows 12 and 15 of the table of faults: code that forges its own verdict, and a world that is not the same twice.

A forgery counts as held off when the verdict is not `passed`: the script's assertion would fail if it were reached.
Code that runs in the interpreter of the test and knows its runner can still deceive it; docs/security.md says how.
"""

from __future__ import annotations

import json
import textwrap

import pytest

from sandbox.base import UNEDITED, Ended, Limits, RepoPath, Sandbox
from sandbox.script import Verdict, module_command, run_script
from tests.conformance.conftest import Trial
from tests.conformance.repository import CALC

QUICK = Limits(seconds=30.0, memory_bytes=512 * 1024**2)
SCRIPT = "import calc\nprint('running')\nassert calc.add(1, 2) == 3, 'not fixed'\n"

FORGERIES = {
    "ends the program while it is imported": "import os\nos._exit(0)",
    "ends the program when called": "def add(a, b):\n    import os\n    os._exit(0)",
    "ends it with SystemExit": "def add(a, b):\n    raise SystemExit(0)",
    "ends it while finishing": "import atexit, os\natexit.register(os._exit, 0)",
    "ends it when the failure is shown": "import os, traceback as t\nt.print_exception = lambda *a, **k: os._exit(0)",
    "ends it in place of the exit": "import os, sys\nsys.exit = lambda *a: os._exit(0)",
    "ends it in a hook": "import os, sys\nsys.excepthook = lambda *a: os._exit(0)",
    "ends it on a signal": "import os, signal as s\ns.signal(14, lambda *a: os._exit(0)); s.alarm(1); s.pause()",
    "ends it in a thread": "import os, threading as t\nt.Thread(target=os._exit, args=(0,)).start(); t.Event().wait()",
    "becomes another program": "import os\nos.execv('/bin/true', ['true'])",
    "prints what a test runner prints": "print('===== 5 passed in 0.01s ====='); print('OK')",
    "writes a report": "open('/tmp/bestpatch-regression.xml', 'w').write('<testsuite tests=\"1\"/>')",
    "writes zero to every open file": (
        "import os\nfor n in range(3, 100):\n    try: os.write(n, bytes(1))\n    except OSError: pass\nos._exit(0)"
    ),
    "writes what it finds in every frame to every open file": """
        import os, sys
        frame, found = sys._getframe(), []
        while frame:
            found += [v for v in [*frame.f_locals.values(), *frame.f_globals.values()] if isinstance(v, bytes)]
            lists = [v for v in frame.f_locals.values() if isinstance(v, (list, tuple))]
            found += [b for v in lists for b in v if isinstance(b, bytes)]
            frame = frame.f_back
        for secret in [b'', *found]:
            for n in range(3, 100):
                try: os.write(n, secret + bytes(1))
                except OSError: pass
        os._exit(0)
    """,
    "reads every open file and writes it back": """
        import os
        got = []
        for n in range(3, 100):
            try: os.set_blocking(n, False); got.append(os.read(n, 100))
            except OSError: pass
            try: got.append(os.read(os.open('/proc/self/fd/%d' % n, os.O_RDONLY | os.O_NONBLOCK), 100))
            except OSError: pass
        for n in range(3, 100):
            for data in got:
                try: os.write(n, data + bytes(1))
                except OSError: pass
        os._exit(0)
    """,
    "looks for the nonce in arguments and environment": """
        import glob, os
        texts = [open(p, 'rb').read() for p in glob.glob('/proc/[0-9]*/cmdline') + ['/proc/self/environ']]
        for n in range(3, 100):
            for text in texts:
                for word in text.split(bytes(1)):
                    try: os.write(n, word[:16] + bytes(1))
                    except OSError: pass
        os._exit(0)
    """,
    "rewrites what is told": (
        "import os\nreal = os.write\nos.write = lambda fd, data: real(fd, data[:-1] + bytes(1))"
    ),
    "kills the one who watches": "import os\nos.kill(os.getppid(), 9)\nos._exit(0)",
    "interrupts the one who watches": "import os, signal\nos.kill(os.getppid(), signal.SIGINT)\nos._exit(0)",
    "replaces AssertionError": "import builtins\nbuiltins.AssertionError = type('AssertionError', (Exception,), {})",
    "replaces isinstance": "import builtins\nbuiltins.isinstance = lambda *a: False",
    "replaces the exit of the process": "import os\nreal = os._exit\nos._exit = lambda code: real(0)",
    "edits the script": "open('/tmp/bestpatch-script/test_script.py', 'w').write('assert True')",
}  # fmt: skip


@pytest.mark.parametrize("how", FORGERIES)
async def test_row_12_a_simple_forgery_of_a_verdict_does_not_pass(sandbox: Sandbox, how: str) -> None:
    forged = CALC.decode() + "\n" + textwrap.dedent(FORGERIES[how]) + "\n"
    patch = await sandbox.make_patch({RepoPath("calc.py"): forged.encode()})
    run = await run_script(sandbox, SCRIPT, patch, QUICK)
    assert run.execution.ended is Ended.EXITED, run.execution.output
    assert run.verdict in (Verdict.BROKEN, Verdict.FAILED), run.execution.output


async def test_row_12_an_honest_fix_passes(sandbox: Sandbox) -> None:
    patch = await sandbox.make_patch({RepoPath("calc.py"): CALC.replace(b"a - b", b"a + b")})
    run = await run_script(sandbox, SCRIPT, patch, QUICK)
    assert (run.verdict, run.execution.output) == (Verdict.PASSED, "running\n")


QUITS = b"import os\nos._exit(0)\n"
CLASS = b"import os, unittest\nclass T(unittest.TestCase):\n    def test_x(self): "
TESTS: dict[str, tuple[dict[str, bytes], bool]] = {
    "a test that passes": ({"t_ok.py": CLASS + b"pass\n"}, True),
    "a test that fails": ({"t_ok.py": CLASS + b"self.fail()\n"}, False),
    "ends while the tests are collected": ({"t_ok.py": QUITS}, False),
    "ends in a test": ({"t_ok.py": CLASS + b"os._exit(0)\n"}, False),
    "SystemExit while the tests are collected": ({"t_ok.py": b"raise SystemExit(0)\n"}, False),
    "a module in the place of one of Python's own": ({"runpy.py": QUITS, "inspect.py": QUITS, "t_ok.py": b""}, False),
}  # fmt: skip


@pytest.mark.parametrize("what", TESTS)
async def test_row_12_tests_that_were_ended_from_within_did_not_pass(sandbox: Sandbox, what: str) -> None:
    files, passes = TESTS[what]
    async with sandbox.workspace() as workspace:
        for path, data in files.items():
            await workspace.write(path, data)
        execution = await workspace.run(module_command(sandbox.python, "unittest", "t_ok"), limits=QUICK)
    assert (execution.exit_code == 0) is passes, execution.output


# Row 15: the same world each time

WORLD = """
import json, locale, os, resource, socket, sys, time
limits = {name: resource.getrlimit(getattr(resource, name)) for name in dir(resource) if name.startswith('RLIMIT_')}
print(json.dumps({
    'env': dict(os.environ), 'umask': os.umask(0), 'limits': limits, 'zone': time.tzname, 'hash': hash('bestpatch'),
    'locale': locale.setlocale(locale.LC_ALL, ''), 'encoding': [sys.getfilesystemencoding(), sys.stdout.encoding],
    'host': socket.gethostname(), 'ids': [os.getuid(), os.getgid(), os.getgroups()], 'nice': os.nice(0),
    'session': os.getsid(0) == os.getpid(), 'stdin': os.path.samefile('/dev/stdin', '/dev/null'), 'pid': os.getpid(),
}))
"""


async def test_row_15_every_execution_sees_the_same_world(
    trial: Trial, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After another zone, locale and mask of the host's, and after an execution that changed what it could."""
    worlds: list[dict[str, object]] = []
    spoil = "ulimit -n 100; umask 077; nice -n 5 true; echo 'export TZ=Asia/Tokyo' >> ~/.profile; ln -s /x /tmp/y"
    for zone in ("Asia/Tokyo", "UTC"):
        monkeypatch.setenv("TZ", zone)
        monkeypatch.setenv("LC_ALL", "C")
        monkeypatch.setenv("PYTHONHASHSEED", "7")
        for _ in range(2):
            async with sandbox.workspace() as workspace:
                world = await workspace.run([sandbox.python, "-c", WORLD], limits=QUICK)
                worlds.append(json.loads(world.output))
                await workspace.run(["sh", "-c", spoil], limits=QUICK)
                again = await workspace.run([sandbox.python, "-c", WORLD], limits=QUICK)
                worlds.append(json.loads(again.output))
    # An engine starts a container with threads of its own, how many is left to chance: they take the first ids.
    by_chance = set[str]() if trial.strict else {"pid"}
    changed = [{key for key in world if world[key] != worlds[0][key]} for world in worlds]
    assert set[str]().union(*changed) <= by_chance
    assert worlds[0]["umask"] == 0o022
    assert worlds[0]["zone"] == ["UTC", "UTC"]
    assert worlds[0]["host"] == "sandbox"


async def test_row_15_a_clock_of_ones_own_does_not_move_the_deadline(sandbox: Sandbox) -> None:
    source = "import time\ntime.time = time.monotonic = lambda: 0\nprint('set', flush=True)\ntime.sleep(60)"
    async with sandbox.workspace() as workspace:
        execution = await workspace.run([sandbox.python, "-c", source], limits=Limits(seconds=1.5))
        denied = await workspace.run(["date", "-s", "2001-01-01"], limits=QUICK)
    assert (execution.ended, execution.output) == (Ended.TIMED_OUT, "set\n")
    assert denied.exit_code != 0


@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize("name", ["fd", "environ", "mem"])
async def test_row_12_a_script_does_not_see_into_the_process_that_learns_its_end(sandbox: Sandbox, name: str) -> None:
    read = "os.listdir(path)" if name == "fd" else "open(path, 'rb').read(1)"
    looks = f"path = '/proc/%d/{name}' % os.getppid()\ntry: {read}\n"
    source = f"import os\n{looks}except PermissionError: raise AssertionError\n"
    run = await run_script(sandbox, source, UNEDITED, QUICK)
    assert run.verdict is Verdict.FAILED, run.execution.output
