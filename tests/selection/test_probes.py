"""Probes on a small repository: on this host with code of these tests, and in real sandboxes with hostile code."""

from __future__ import annotations

import io
import tarfile
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from agent.trajectory import ISSUE, ScriptId, TestScript
from sandbox.base import UNEDITED, Backend, Limits, Recipe, RepoPath, Sandbox, Snapshot, Tree, digest_of
from sandbox.errors import SandboxLost
from selection.base import ClassId, PatchClass, Probe
from selection.mutations import Arguments
from selection.probes import Call, Input, inputs_of, outputs_of, probe, separating
from selection.touched import FunctionId
from tests.harness.host_sandbox import HostBackend, HostSandbox
from tests.selection.backends import BACKENDS
from tests.selection.fakes import BAD, make_script

M = RepoPath("m.py")
SOURCE = b"def clamp(x, low=0, high=9):\n    return x\n\n\ndef half(x):\n    return clamp(x / 2)\n"
FILES: Tree = {M: SOURCE}
F = FunctionId(M, "clamp")
SCRIPT = "from m import *\nassert clamp(12) == 9\nassert half(30) == 9\n"
TOP = SOURCE.replace(b"return x\n", b"return min(x, high)\n", 1)
BOTH = SOURCE.replace(b"return x\n", b"return max(low, min(x, high))\n", 1)
BOTH_TOO = SOURCE.replace(b"return x\n", b"return sorted([low, x, high])[1]\n", 1)
LIMITS = Limits(seconds=20)
S = make_script("a", SCRIPT)


def snapshot(folder: Path) -> Snapshot:
    tar = folder / "tree.tar"
    with tarfile.open(tar, "w") as archive:
        for path, content in FILES.items():
            info = tarfile.TarInfo(path)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return Snapshot(tar, digest_of(*(part for item in FILES.items() for part in item)))


@pytest.fixture
def host(tmp_path: Path) -> HostSandbox:
    return HostSandbox(HostBackend(), snapshot(tmp_path))


async def classes(sandbox: Sandbox, *contents: bytes) -> list[PatchClass]:
    patches = [await sandbox.make_patch({M: content}) for content in contents]
    return [PatchClass(ClassId(f"c{number}"), patch, ()) for number, patch in enumerate(patches, 1)]


async def probed(
    sandbox: Sandbox, made: list[PatchClass], *scripts: TestScript, issue: str = "", most: int = 40, seed: int = 0
) -> tuple[Probe, ...]:
    return await probe(issue, scripts, made, FILES, sandbox, most=most, seed=seed, limits=LIMITS, parallel=2)


async def test_varied_inputs_tell_apart_what_the_script_does_not(host: HostSandbox) -> None:
    made = await classes(host, TOP, BOTH, BOTH_TOO)
    found = await probed(host, made, make_script("a", SCRIPT))
    assert found
    assert all(one.varied for one in found)
    assert all(one.outputs["c2"] == one.outputs["c3"] != one.outputs["c1"] for one in found)  # type: ignore[index]
    below = next(one for one in found if one.call == "clamp(-12)")
    assert (below.function, below.origin, below.on_unedited) == ("m.py:clamp", "script-a", "-12")
    assert below.outputs == {"c1": "-12", "c2": "0", "c3": "0"}
    assert [one.id for one in found] == [f"p{n}" for n in range(1, len(found) + 1)]
    assert {one.function for one in found} == {"m.py:clamp", "m.py:half"}


async def test_what_the_issue_shows_is_an_input_without_any_script(host: HostSandbox) -> None:
    found = await probed(host, await classes(host, TOP, BOTH), issue="`clamp(-5)` should be 0")
    assert (found[0].call, found[0].origin, found[0].varied) == ("clamp(-5)", ISSUE, False)


async def test_the_same_again_is_the_same(host: HostSandbox) -> None:
    made = await classes(host, TOP, BOTH)
    assert await probed(host, made, make_script("a", SCRIPT)) == await probed(host, made, make_script("a", SCRIPT))


async def test_scripts_that_are_not_valid_give_inputs_too(host: HostSandbox) -> None:
    assert await probed(host, await classes(host, TOP, BOTH), make_script("a", SCRIPT, valid=False))


async def test_one_execution_for_all_scripts_two_for_the_unedited_tree_and_one_for_a_class(host: HostSandbox) -> None:
    made = await classes(host, TOP, BOTH, BOTH_TOO)
    host.backend.ran.clear()
    await probed(host, made, make_script("a", SCRIPT), make_script("same", SCRIPT), make_script("b", f"{SCRIPT}\n1"))
    assert len(host.backend.ran) == 1 + 2 + 3


async def test_without_a_touched_function_nothing_is_executed(host: HostSandbox) -> None:
    made = [PatchClass(ClassId("c1"), BAD, ())]
    assert await probed(host, made, make_script("a", SCRIPT)) == ()
    assert host.backend.ran == []


async def test_a_patch_that_does_not_apply_has_no_outputs_and_harms_nobody(host: HostSandbox) -> None:
    made = [*await classes(host, TOP, BOTH), PatchClass(ClassId("c9"), BAD, ())]
    found = await probed(host, made, make_script("a", SCRIPT))
    assert found
    assert all(one.outputs.keys() == {"c1", "c2"} for one in found)


async def test_what_is_not_the_same_twice_on_the_unedited_tree_is_no_input(
    host: HostSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = b"import random\n" + SOURCE.replace(b"return x\n", b"return x if x < 9 else random.random()\n", 1)
    made = await classes(host, TOP, BOTH)
    assert any(one.call == "clamp(12)" for one in await probed(host, await classes(host, TOP, SOURCE + b"\n1\n"), S))
    unedited = await host.make_patch({M: drawn})
    monkeypatch.setattr("selection.probes.UNEDITED", unedited)
    found = await probed(host, made, S)
    assert found
    assert not any("clamp(12)" in one.call for one in found)


async def test_a_sandbox_that_stays_lost_gives_no_probes(host: HostSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await classes(host, TOP, BOTH)

    def lost(*_: object) -> Any:
        raise SandboxLost("gone")

    monkeypatch.setattr("selection.execute.PAUSES", (0.0,))
    monkeypatch.setattr(HostSandbox, "workspace", lost)
    assert await probed(host, made, make_script("a", SCRIPT)) == ()


def call(function: FunctionId, own: str, origin: str = "s") -> Call:
    return Call(function, "m", Arguments(None, own), make_script(origin, "").id)


def test_functions_share_the_room_and_touched_ones_come_first() -> None:
    calls = [call(FunctionId(M, "half"), "((3,), {})"), call(F, "((1,), {})"), call(F, "((2,), {})", "t")]
    inputs = inputs_of(calls, [F], 20, 0)
    assert len(inputs) == len({(one.function, one.arguments) for one in inputs}) == 20
    assert [one.function.name for one in inputs] == ["clamp"] * 10 + ["half"] * 10
    assert [(one.origin, one.varied) for one in inputs[:3]] == [
        ("script-s", False),
        ("script-t", False),
        ("script-s", True),
    ]
    assert len(inputs_of(calls, [F], 1, 0)) == 1
    assert inputs_of([], [F], 20, 0) == []


def test_only_inputs_that_separate_are_probes() -> None:
    inputs = [replace(_input(), arguments=Arguments(None, f"(({n},), {{}})")) for n in range(3)]
    c1, c2 = ClassId("c1"), ClassId("c2")
    found = separating(inputs, ["a", "b", "c"], {c1: {0: "1", 1: "1", 2: "1"}, c2: {0: "1", 1: "2"}})
    assert [(one.id, one.call, one.outputs, one.on_unedited) for one in found] == [
        ("p1", "clamp(1)", {c1: "1", c2: "2"}, "b")
    ]


def _input() -> Input:
    return Input(F, "m", Arguments(None, "((1,), {})"), ScriptId(ISSUE), varied=False)


@pytest.fixture(params=BACKENDS)
async def sandbox(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Sandbox]:
    make: Callable[[], Backend] = request.param
    backend = make()
    try:
        yield await backend.open(Recipe(base="python:3.11"), snapshot(tmp_path), run_id="test-probes")
    finally:
        await backend.close()


def hostile(body: str) -> bytes:
    return SOURCE.replace(b"    return x\n", b"".join(b"    " + line.encode() + b"\n" for line in body.split("\n")), 1)


async def test_hostile_classes_lose_their_own_outputs_only(sandbox: Sandbox) -> None:
    forging = """\
import os
for fd in range(1, 30):
    try:
        os.write(fd, b'[0, "forged"]\\n[1, "forged"]\\n')
    except OSError:
        pass
return x"""
    made = await classes(
        sandbox,
        TOP,
        BOTH,
        hostile(forging),
        hostile("while True:\n    pass"),
        hostile("import os\nos._exit(0)"),
        hostile("return len(b'x' * (1 << 36))"),
        b"import os\nos.kill(os.getpid(), 9)\n" + SOURCE,
        hostile("import os\nos.kill(os.getppid(), 9)\nreturn x"),
    )
    with anyio.fail_after(300):
        found = await probed(sandbox, made, issue="clamp(-5)", most=3)
    assert found[0].call == "clamp(-5)"
    outputs = {str(c): text for c, text in found[0].outputs.items()}
    outputs.pop("c3", "")  # what it writes instead of its output is its own affair
    assert outputs == {
        "c1": "-5",
        "c2": "0",
        "c4": "does not end in time",
        "c5": "ends the program",
        "c6": "raises MemoryError",
    }


async def test_recording_in_a_real_sandbox(sandbox: Sandbox) -> None:
    found = await probed(sandbox, await classes(sandbox, TOP, BOTH), make_script("a", SCRIPT))
    assert {one.function for one in found} == {"m.py:clamp", "m.py:half"}
    assert await outputs_of([_input()], UNEDITED, sandbox, seed=0, limits=LIMITS) == {0: "1"}
