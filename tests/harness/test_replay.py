"""A model and a sandbox that answer from the journal what finished before."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import pytest

from agent.errors import ModelUnavailable
from agent.model.base import Completion, Request, Stage, Usage
from agent.model.scripted import SCRIPTED, Rule, ScriptedModel
from agent.trajectory import ScriptId, TestScript
from harness.closed import ClosedSandbox
from harness.journal import Journal
from harness.progress import Silence
from harness.replay import JournaledModel, JournaledSandbox
from harness.repository import Repository
from sandbox.base import UNEDITED, Limits, Patch, RepoPath, Sandbox, Snapshot, Workspace
from sandbox.errors import PatchRejected, SandboxError, WorkspaceError
from sandbox.script import Verdict, run_script
from selection.base import ClassId, PatchClass
from selection.matrix import vote_matrix
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


class Portions:
    """Writes at most two answers at once, and dies after the second time. Each answer tells its seed."""

    def __init__(self, times: int) -> None:
        self.profile = replace(SCRIPTED, parallel=2)
        self.times = times
        self.asked: list[tuple[int, int]] = []

    async def complete(self, request: Request, n: int = 1) -> tuple[Completion, ...]:
        seed = request.sampling.seed
        self.asked.append((seed, n))
        if len(self.asked) > self.times:
            raise ModelUnavailable("down")
        return tuple(Completion(f"seed {seed + number}", "stop", Usage(calls=not number)) for number in range(n))


async def test_an_answer_is_journaled_before_anybody_builds_on_it(tmp_path: Path) -> None:
    waited: list[str] = []

    class Waiting(Journal):
        async def synced(self) -> None:
            waited.append("begins")
            await super().synced()
            waited.append("has it")

    with Waiting(tmp_path) as journal:
        await JournaledModel(ScriptedModel([Rule("a")]), journal).complete(request())
        assert waited == ["begins", "has it"]


async def test_many_answers_are_kept_portion_by_portion(tmp_path: Path) -> None:
    dies, lives = Portions(2), Portions(9)
    with Journal(tmp_path) as journal, pytest.raises(ModelUnavailable):
        await JournaledModel(dies, journal).complete(request(), 7)
    with Journal(tmp_path) as journal:
        answers = await JournaledModel(lives, journal).complete(request(), 7)
        assert await JournaledModel(Portions(0), journal).complete(request(), 7) == answers
    assert dies.asked == [(0, 2), (2, 2), (4, 2)]
    assert lives.asked == [(4, 2), (6, 1)]
    assert [answer.text for answer in answers] == [f"seed {number}" for number in range(7)]


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


async def test_the_vote_and_a_trajectory_that_ask_for_the_same_pair_at_once_run_it_once(reopened: Reopen) -> None:
    backend, sandbox, journal = reopened()
    with journal:
        patch = await sandbox.make_patch(FIXED)
        unedited = await run_script(sandbox, SCRIPT, UNEDITED, Limits())
        script = TestScript(ScriptId("script-1"), SCRIPT, True, "trajectory-1", unedited)
        fixed = PatchClass(ClassId("class-1"), patch, ())
        backend.ran.clear()
        async with anyio.create_task_group() as group:
            group.start_soon(run_script, sandbox, SCRIPT, patch, Limits())
            filled = await vote_matrix([script], [fixed], sandbox, Limits(), 2, Silence())
    assert filled.matrix.verdict(script.id, fixed.id) is Verdict.PASSED
    assert len(backend.ran) == 1


async def test_one_who_waits_for_an_execution_that_is_given_up_runs_it_himself(reopened: Reopen) -> None:
    backend, sandbox, journal = reopened()
    slow = "import time\ntime.sleep(0.5)\n" + SCRIPT
    with journal:
        async with anyio.create_task_group() as group:
            first = await group.start(_run_in_a_scope, sandbox, slow)
            group.start_soon(run_script, sandbox, slow, UNEDITED, Limits())
            await anyio.wait_all_tasks_blocked()
            assert len(backend.ran) == 1
            first.cancel()
        assert len(backend.ran) == 2
        await run_script(sandbox, slow, UNEDITED, Limits())
    assert len(backend.ran) == 2


class Few:
    """A sandbox with few workspaces at a time."""

    def __init__(self, sandbox: Sandbox, count: int) -> None:
        self.places = anyio.Semaphore(count)
        self._sandbox = sandbox

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sandbox, name)

    @asynccontextmanager
    async def workspace(self, patch: Patch = UNEDITED) -> AsyncGenerator[Workspace]:
        async with self.places, self._sandbox.workspace(patch) as workspace:
            yield workspace


async def test_who_has_the_only_workspace_waits_for_nobody_without_one(reopened: Reopen) -> None:
    """One is promised the next workspace before the repository is known. Another, who finds it known, asks for the same
    execution first, and stands in line behind."""
    backend, sandbox, journal = reopened()
    few = Few(sandbox.inner, 1)
    sandbox.inner = few
    with journal, anyio.fail_after(20):
        async with anyio.create_task_group() as group, few.places:
            group.start_soon(run_script, sandbox, SCRIPT, UNEDITED, Limits())
            await anyio.wait_all_tasks_blocked()
            async with few._sandbox.workspace() as workspace:  # pyright: ignore[reportPrivateUsage]
                journal.add_outcome(sandbox.digest, 0, "repository", workspace.repository)
            group.start_soon(run_script, sandbox, SCRIPT, UNEDITED, Limits())
            await anyio.wait_all_tasks_blocked()
    assert len(backend.ran) == 1


@pytest.mark.parametrize("seed", range(6))
async def test_many_trajectories_with_few_workspaces_come_to_an_end(reopened: Reopen, seed: int) -> None:
    backend, sandbox, journal = reopened()
    sandbox.inner = Few(sandbox.inner, 2)
    dice = random.Random(seed)
    scripts = [SCRIPT + "\n" * number for number in range(3)]

    async def trajectory(scripts: list[str]) -> None:
        for script in scripts:
            await anyio.sleep(dice.random() / 50)
            await run_script(sandbox, script, UNEDITED, Limits())

    with journal, anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(trajectory, dice.choices(scripts, k=4))
    assert len(backend.ran) <= 3


async def _run_in_a_scope(
    sandbox: JournaledSandbox, source: str, *, task_status: anyio.abc.TaskStatus[anyio.CancelScope]
) -> None:
    with anyio.CancelScope() as scope:
        task_status.started(scope)
        await run_script(sandbox, source, UNEDITED, Limits())


async def test_effects_that_are_known_are_there_for_what_is_new(reopened: Reopen) -> None:
    """Also in a workspace that was made before another one found them out."""
    backend, sandbox, journal = reopened()
    append = ["sh", "-c", "cat note; echo two >> note"]
    with journal:
        async with sandbox.workspace() as late:  # nothing is known yet: a real one
            async with sandbox.workspace() as first:
                await first.write("note", b"one")
                await first.run(append)
            await late.write("note", b"one")
            assert (await late.run(append)).output == "one"
            assert len(backend.ran) == 1
            assert await late.read("note") == b"onetwo\n"
    assert len(backend.ran) == 2


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
