"""A model and a sandbox that answer from the journal what finished before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from agent.errors import ModelUnavailable
from agent.model.base import Stage
from agent.model.scripted import Rule, ScriptedModel
from harness.journal import Journal
from harness.replay import ClosedSandbox, JournaledModel, JournaledSandbox
from harness.repository import Repository
from sandbox.base import UNEDITED, Limits, Patch, RepoPath, Snapshot
from sandbox.errors import PatchRejected, SandboxError, WorkspaceError
from sandbox.script import Verdict, run_script
from tests.harness.host_sandbox import HostBackend, HostSandbox
from tests.harness.test_journal import request

SCRIPT = "from calc import add\nassert add(1, 2) == 3\n"
FIXED = {RepoPath("calc.py"): b"def add(a, b):\n    return a + b\n"}


@pytest.fixture
def snapshot(repo: Path, tmp_path: Path) -> Snapshot:
    with Repository.open(repo) as repository:
        return repository.snapshot(repository.base(), tmp_path / "snapshot.tar")


@pytest.fixture
def reopened(tmp_path: Path, snapshot: Snapshot) -> Callable[[], tuple[HostBackend, JournaledSandbox, Journal]]:
    """A new process' view of the same run directory."""

    def reopen() -> tuple[HostBackend, JournaledSandbox, Journal]:
        backend, journal = HostBackend(), Journal(tmp_path / "run")
        return backend, JournaledSandbox(HostSandbox(backend, snapshot), journal), journal

    return reopen


Reopen = Callable[[], tuple[HostBackend, JournaledSandbox, Journal]]


async def test_a_model_is_asked_once(tmp_path: Path) -> None:
    inner = ScriptedModel([Rule("a", "b", "c")])
    with Journal(tmp_path) as journal:
        model = JournaledModel(inner, journal)
        first = await model.complete(request(), 3)
        assert await model.complete(request(), 3) == first
        assert await model.complete(request(), 2) == first[:2]
    assert [answer.text for answer in first] == ["a", "b", "c"]
    assert len(inner.requests) == 1
    with Journal(tmp_path) as journal:
        silent = ScriptedModel([])
        assert await JournaledModel(silent, journal).complete(request(), 3) == first
        assert silent.requests == []
        with pytest.raises(ModelUnavailable):
            await JournaledModel(silent, journal).complete(request("another"), 1)


async def test_requests_that_differ_anywhere_are_other_requests(tmp_path: Path) -> None:
    inner = ScriptedModel([Rule("a")])
    with Journal(tmp_path) as journal:
        model = JournaledModel(inner, journal)
        for one in (request(), request("x"), request(stage=Stage.COMPARISON), request(trajectory="trajectory-1")):
            await model.complete(one)
    assert len(inner.requests) == 4


async def test_failures_are_not_journaled(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        with pytest.raises(ModelUnavailable):
            await JournaledModel(ScriptedModel([Rule(ModelUnavailable("down"))]), journal).complete(request())
        (answer,) = await JournaledModel(ScriptedModel([Rule("up")]), journal).complete(request())
    assert answer.text == "up"


async def test_a_script_runs_once_on_a_patch(reopened: Reopen) -> None:
    backend, sandbox, journal = reopened()
    with journal:
        patch = await sandbox.make_patch(FIXED)
        assert await sandbox.make_patch(FIXED) == patch
        unedited = await run_script(sandbox, SCRIPT, UNEDITED, Limits())
        fixed = await run_script(sandbox, SCRIPT, patch, Limits())
        assert await run_script(sandbox, SCRIPT, patch, Limits()) == fixed
        assert (unedited.verdict, fixed.verdict) == (Verdict.FAILED, Verdict.PASSED)
        assert backend.patches == 1
        assert len(backend.ran) == 2
    backend, sandbox, journal = reopened()
    with journal:
        assert await sandbox.make_patch(FIXED) == patch
        assert await run_script(sandbox, SCRIPT, UNEDITED, Limits()) == unedited
        assert await run_script(sandbox, SCRIPT, patch, Limits()) == fixed
        assert (backend.patches, backend.ran) == (0, [])
        await run_script(sandbox, SCRIPT + "\n", patch, Limits())
        await run_script(sandbox, SCRIPT, patch, Limits(seconds=5))
        assert len(backend.ran) == 2  # another script and other limits are other executions


async def test_two_at_once_run_it_once(reopened: Reopen) -> None:
    backend, sandbox, journal = reopened()
    with journal:
        async with anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(run_script, sandbox, SCRIPT, UNEDITED, Limits())
    assert len(backend.ran) == 1


async def test_a_command_asked_for_twice_runs_twice_and_is_replayed_in_order(reopened: Reopen) -> None:
    """The repository's tests run twice to find those that are flaky: the second time is another outcome."""
    command = ["sh", "-c", "date +%N; echo x > made"]

    async def two(sandbox: JournaledSandbox) -> list[str]:
        outputs: list[str] = []
        for _ in range(2):
            async with sandbox.workspace() as workspace:
                outputs.append((await workspace.run(command)).output)
                outputs.append((await workspace.read("made")).decode())
        return outputs

    backend, sandbox, journal = reopened()
    with journal:
        before = await two(sandbox)
    assert len(backend.ran) == 2
    assert before[0] != before[2]
    backend, sandbox, journal = reopened()
    with journal:
        assert await two(sandbox) == before
    assert backend.ran == []


async def test_a_new_continuation_repeats_the_beginning(reopened: Reopen) -> None:
    backend, sandbox, journal = reopened()
    with journal:
        async with sandbox.workspace() as workspace:
            await workspace.write("note", b"one")
            await workspace.run(["sh", "-c", "echo two >> note"])
    backend, sandbox, journal = reopened()
    with journal:
        async with sandbox.workspace() as workspace:
            await workspace.write("note", b"one")
            await workspace.run(["sh", "-c", "echo two >> note"])
            assert backend.ran == []
            assert await workspace.read("note") == b"onetwo\n"
            assert "note" in await workspace.diff()
    assert len(backend.ran) == 1


async def test_refusals_are_remembered(reopened: Reopen) -> None:
    wrong = Patch("diff --git a/none b/none\n--- a/none\n+++ b/none\n@@ -1 +1 @@\n-a\n+b\n")
    told: list[str] = []
    for _ in range(2):
        _, sandbox, journal = reopened()
        with journal:
            with pytest.raises(PatchRejected) as rejected:
                await run_script(sandbox, SCRIPT, wrong, Limits())
            async with sandbox.workspace() as workspace:
                with pytest.raises(WorkspaceError) as failed:
                    await workspace.read("none")
                await workspace.run(["mkdir", "folder"])
                with pytest.raises(WorkspaceError, match="is a folder"):
                    await workspace.write("folder", b"")
            told.append(f"{rejected.value} {failed.value}".partition("/tmp")[0])
    assert told[0] == told[1]


async def test_a_closed_sandbox_still_has_what_was_journaled(reopened: Reopen) -> None:
    _, sandbox, journal = reopened()
    with journal:
        patch = await sandbox.make_patch(FIXED)
        known = await run_script(sandbox, SCRIPT, patch, Limits())
        closed = JournaledSandbox(ClosedSandbox(sandbox.inner, {}, "interrupted"), journal)
        assert await closed.make_patch(FIXED) == patch
        assert await run_script(closed, SCRIPT, patch, Limits()) == known
        with pytest.raises(SandboxError, match="interrupted"):
            await run_script(closed, "print()", patch, Limits())
        with pytest.raises(SandboxError, match="interrupted"):
            await closed.make_patch({RepoPath("calc.py"): None})
