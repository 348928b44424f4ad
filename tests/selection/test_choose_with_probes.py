"""The whole of selection where probes decide: on this host, with code of these tests and a scripted model."""

from __future__ import annotations

import io
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from agent.context.gather import Context
from agent.model.scripted import SCRIPTED, Rule, ScriptedModel
from agent.task import Task, TaskId
from agent.trajectory import Candidate, CandidateId, ScriptId, TestScript
from harness.journal import Journal
from harness.replay import JournaledSandbox
from sandbox.base import UNEDITED, Limits, Recipe, RepoPath, Sandbox, Snapshot, Tree
from sandbox.script import run_script
from selection.base import Selection
from selection.choose import SelectionSettings, choose
from tests.harness.host_sandbox import HostBackend, HostSandbox
from tests.selection.fakes import ListRecorder

M = RepoPath("m.py")
SOURCE = b"def clamp(x):\n    return x\n"
FILES: Tree = {M: SOURCE}
SCRIPT = "from m import clamp\nassert clamp(12) == 9\n"
TOP, TOP_TOO = b"min(x, 9)", b"9 if x > 9 else x"
BOTH = b"max(0, min(x, 9))"
BOTH_TOO = b"sorted([0, x, 9])[1]"


@pytest.fixture
def host(tmp_path: Path) -> HostSandbox:
    tar = tmp_path / "tree.tar"
    with tarfile.open(tar, "w") as archive:
        info = tarfile.TarInfo(M)
        info.size = len(SOURCE)
        archive.addfile(info, io.BytesIO(SOURCE))
    return HostSandbox(HostBackend(), Snapshot(tar, "tree"))


async def chosen(
    sandbox: Sandbox,
    *returned: bytes,
    probes: int = 40,
    recorder: ListRecorder | None = None,
    model: ScriptedModel | None = None,
    turns: int = 0,
) -> Selection:
    candidates: list[Candidate] = []
    for number, value in enumerate(returned):
        patch = await sandbox.make_patch({M: SOURCE.replace(b"return x", b"return " + value)})
        candidates.append(Candidate(CandidateId(f"candidate-{number}"), patch, None, f"t{number}", True))
    run = await run_script(sandbox, SCRIPT, UNEDITED, Limits(seconds=20))
    script = TestScript(ScriptId("s"), SCRIPT, True, "writer", run)
    return await choose(
        Task(TaskId("t"), "clamp(12) must be 9", "demo", "0" * 40, Recipe()),
        Context("", (M,), FILES, ""),
        candidates,
        [script],
        sandbox,
        model or ScriptedModel([]),
        SelectionSettings(comparison_turns=turns, regression_seconds=0, limits=Limits(seconds=20), probes=probes),
        recorder or ListRecorder(),
    )


async def test_twins_are_ordered_by_what_most_of_them_do(host: HostSandbox) -> None:
    # All four pass the script. Three texts, of which two do the same below 0; the first is a class of its own.
    recorder = ListRecorder()
    done = await chosen(host, TOP, BOTH, BOTH_TOO, recorder=recorder)
    assert done.winner == "candidate-1"
    assert done.ranking == ("c2", "c3", "c1")
    assert done.consensus["c2"] == done.consensus["c3"] > done.consensus["c1"]  # type: ignore[index]
    assert any("calls with other arguments" in reason for reason in done.reasons)
    assert any(one.call.startswith("clamp(-") for one in done.probes)
    assert ("probes", {"classes": ["c1", "c2", "c3"], "separate": len(done.probes)}) in recorder.notes


async def test_without_probes_the_votes_order_stands(host: HostSandbox) -> None:
    done = await chosen(host, TOP, BOTH, BOTH_TOO, probes=0)
    assert (done.winner, done.probes, done.consensus) == ("candidate-0", (), {})


async def test_twins_that_do_the_same_keep_their_order(host: HostSandbox) -> None:
    done = await chosen(host, TOP, TOP_TOO)
    assert (done.winner, done.probes, done.consensus) == ("candidate-0", (), {})


async def test_one_class_alone_is_not_probed(host: HostSandbox) -> None:
    await chosen(host, TOP, TOP)
    assert not any("calls.json" in word for word in host.backend.ran)
    recorder = ListRecorder()
    await chosen(host, TOP, b"x", recorder=recorder)  # the script tells them apart, and the votes decide
    assert not [detail for kind, detail in recorder.notes if kind == "probes"]


async def test_a_comparison_sees_the_calls(host: HostSandbox) -> None:
    model = ScriptedModel([Rule("It clamps at both ends.\nCHOICE: A")], replace(SCRIPTED, script_style="exit_codes"))
    done = await chosen(host, TOP, BOTH, BOTH_TOO, model=model, turns=2)
    assert done.comparison is not None
    assert all("These calls were executed" in request.messages[-1].content for request in model.requests)
    # An executed difference was shown, so a pass may choose at once.
    assert all(one.choice == one.order[0] for one in done.comparison.passes)


async def test_a_resumed_selection_executes_nothing_again(host: HostSandbox, tmp_path: Path) -> None:
    with Journal(tmp_path / "run") as journal:
        first = await chosen(JournaledSandbox(host, journal), TOP, BOTH, BOTH_TOO)
        host.backend.ran.clear()
        again = await chosen(JournaledSandbox(host, journal), TOP, BOTH, BOTH_TOO)
    assert host.backend.ran == []
    assert (again.ranking, again.probes, again.consensus) == (first.ranking, first.probes, first.consensus)
