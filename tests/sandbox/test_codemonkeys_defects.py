"""Defects of CodeMonkeys' execution and patches (its sections 2.1 to 2.3), each of which must not come back.

Several are also held by the conformance suite; here they stand by name, with what was wrong there.
"""

from __future__ import annotations

import pytest

from sandbox.base import Ended, Limits, Patch, RepoPath, Sandbox
from sandbox.errors import PatchRejected
from sandbox.output import Ring, shown
from sandbox.script import Verdict, run_script

pytestmark = pytest.mark.docker

LIMITS = Limits(seconds=2.0, memory_bytes=512 * 1024**2)


async def test_partial_output_is_kept_on_timeout(sandbox: Sandbox) -> None:
    """There it was thrown away, and the model saw only that time was up."""
    source = "import time\nprint('step 1')\nprint('step 2', end='')\nassert True\ntime.sleep(60)"
    found = await run_script(sandbox, source, Patch(""), LIMITS)
    assert found.verdict is Verdict.TIMED_OUT
    assert found.execution.output == "step 1\nstep 2"


async def test_the_kill_really_kills(sandbox: Sandbox) -> None:
    """There the host's process id was sent into the container's process namespace."""
    child = "import os, signal, time; os.setsid(); signal.signal(15, signal.SIG_IGN); time.sleep(300)"
    source = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {child!r}]).wait()"
    async with sandbox.workspace() as workspace:
        execution = await workspace.run([sandbox.python, "-c", source], limits=LIMITS)
        left = await workspace.run(["sh", "-c", "cat /proc/[0-9]*/cmdline"], limits=LIMITS)
    assert execution.ended is Ended.TIMED_OUT
    assert "cat" in left.output
    assert "sleep(300)" not in left.output


async def test_utf8_split_across_chunks_arrives_whole(sandbox: Sandbox) -> None:
    """There each chunk of the stream was decoded alone, and one with half a character was dropped."""
    source = (
        "import os, time\nfor half in ('\u4f60'.encode()[:1], '\u4f60'.encode()[1:]):\n"
        "    os.write(1, half); time.sleep(.3)\nassert True"
    )
    found = await run_script(sandbox, source, Patch(""), Limits(seconds=20.0))
    assert found.execution.output == "\u4f60"


async def test_empty_output_is_said_so(sandbox: Sandbox) -> None:
    """There the marker for silence appeared for None only, never for an empty string."""
    found = await run_script(sandbox, "assert True", Patch(""), Limits(seconds=20.0))
    assert found.execution.output == ""
    assert "nothing was printed" in shown(found.execution)


def test_the_cap_counts_what_was_left_out() -> None:
    """There the capped text was longer than the cap said, and characters were counted."""
    ring = Ring(8192)
    ring.write(b"\xc3\xa9" * 50_000)
    text = ring.text()
    head, _, rest = text.partition("\n[... ")
    number, _, tail = rest.partition(" bytes left out ...]\n")
    assert len(head.encode()) + len(tail.encode()) <= 8192
    assert int(number) + len(head.encode()) + len(tail.encode()) == 100_000


async def test_files_with_crlf_can_be_patched(sandbox: Sandbox) -> None:
    """There no tool could apply the diff, because its text had lost the carriage returns."""
    patch = await sandbox.make_patch({RepoPath("crlf.txt"): b"one\r\nTWO\r\nthree\r\n"})
    async with sandbox.workspace(patch) as workspace:
        assert await workspace.read("crlf.txt") == b"one\r\nTWO\r\nthree\r\n"


async def test_files_without_a_final_newline_give_diffs_that_apply(sandbox: Sandbox) -> None:
    """There the diff lacked git's marker, and only a fuzzy fallback saved it."""
    patch = await sandbox.make_patch({RepoPath("no_newline.txt"): b"first\nnew last line"})
    assert "\\ No newline at end of file" in patch
    async with sandbox.workspace(patch) as workspace:
        assert await workspace.read("no_newline.txt") == b"first\nnew last line"


async def test_a_patch_is_never_applied_with_fuzz(sandbox: Sandbox) -> None:
    """There a failing `git apply` was followed by `patch --fuzz=5`, which can put a change in the wrong place."""
    hunk = " def sub(a, b):\n-    return a - b\n+    return a + b\n \n \n def div(a, b):\n"
    near = "--- a/calc.py\n+++ b/calc.py\n@@ -1,5 +1,5 @@\n" + hunk
    with pytest.raises(PatchRejected):
        async with sandbox.workspace(Patch(near)):
            pass


async def test_an_edit_that_changes_nothing_is_the_empty_patch(sandbox: Sandbox) -> None:
    """There an empty diff was taken as an edit and then could not be applied."""
    tree = await sandbox.tree()
    assert await sandbox.make_patch({RepoPath("calc.py"): tree[RepoPath("calc.py")]}) == ""


async def test_new_files_and_deleted_files_are_patches_too(sandbox: Sandbox) -> None:
    """There neither could be expressed."""
    patch = await sandbox.make_patch({RepoPath("a/new.rst"): b"=======\nTitle\n=======\n", RepoPath("calc.py"): None})
    async with sandbox.workspace(patch) as workspace:
        assert await workspace.read("a/new.rst") == b"=======\nTitle\n=======\n"
        assert (await workspace.run(["test", "-e", "calc.py"], limits=LIMITS)).exit_code == 1


async def test_a_candidate_that_does_not_apply_is_an_error_of_its_own(sandbox: Sandbox) -> None:
    """There it read as exit code 1 of the script, or killed the whole stage."""
    gone = "diff --git a/gone.py b/gone.py\ndeleted file mode 100644\n--- a/gone.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n"
    with pytest.raises(PatchRejected):
        await run_script(sandbox, "assert True", Patch(gone), LIMITS)


async def test_there_is_no_network_and_no_root(sandbox: Sandbox) -> None:
    """There the network was on and scripts ran as root."""
    source = (
        "import os, socket\nassert os.getuid() != 0\n"
        "try:\n    socket.create_connection(('1.1.1.1', 53), timeout=1)\nexcept OSError:\n    pass\n"
        "else:\n    raise ValueError('connected')"
    )
    assert (await run_script(sandbox, source, Patch(""), Limits(seconds=20.0))).verdict is Verdict.PASSED
