"""Selection in real containers: a small repository with a bug, right and wrong candidates, and its own tests."""

from __future__ import annotations

import io
import tarfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import anyio
import pytest

from agent.context.gather import Context
from agent.model.scripted import Rule, ScriptedModel
from agent.task import Task, TaskId
from agent.trajectory import Candidate, CandidateId, ScriptId, TestScript
from sandbox.base import UNEDITED, Limits, Patch, Recipe, RepoPath, Sandbox, Snapshot, Tree, digest_of
from sandbox.docker import DockerBackend
from sandbox.script import Verdict, run_script
from selection.base import ClassId, PatchClass
from selection.choose import SelectionSettings, choose
from selection.regression import regressions
from tests.selection.fakes import BAD, ListRecorder

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

BASE = "python:3.11"
FILES: Tree = {
    RepoPath("prices.py"): b"def total(prices, discount=0):\n    return sum(prices) - discount * len(prices)\n",
    RepoPath("tests/test_prices.py"): (
        b"import unittest\n\nfrom prices import total\n\n\nclass Prices(unittest.TestCase):\n"
        b"    def test_sum(self):\n        self.assertEqual(total([1, 2]), 3)\n\n"
        b"    def test_empty(self):\n        self.assertEqual(total([]), 0)\n"
    ),
    RepoPath("tests/__init__.py"): b"",
}
RIGHT = b"def total(prices, discount=0):\n    return sum(prices) - discount\n"
RIGHT_TOO = b"def total(prices, discount=0):\n    # once for all\n    return sum(prices)  -  discount\n"
WRONG = b"def total(prices, discount=0):\n    return sum(prices)\n"
BREAKS = b"def total(prices, discount=0):\n    return prices[0] + sum(prices[1:]) - discount\n"
ENDLESS = b"while True: pass\n"


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    tar = tmp_path / "tree.tar"
    with tarfile.open(tar, "w") as archive:
        for path, content in FILES.items():
            info = tarfile.TarInfo(path)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    backend = DockerBackend()
    snapshot = Snapshot(tar, digest_of(*(part for item in FILES.items() for part in item)))
    try:
        yield await backend.open(Recipe(base=BASE), snapshot, run_id="test-selection")
    finally:
        await backend.close()


async def script(sandbox: Sandbox, number: int, source: str) -> TestScript:
    run = await run_script(sandbox, source, UNEDITED, Limits(seconds=20))
    valid = run.verdict is Verdict.FAILED
    return TestScript(ScriptId(f"script-{number}"), source, valid, f"trajectory-{number}", run)


async def made(sandbox: Sandbox, contents: Sequence[bytes]) -> list[Candidate]:
    patches = [await sandbox.make_patch({RepoPath("prices.py"): content}) for content in contents]
    return [
        Candidate(CandidateId(f"candidate-{n}"), patch, None, f"trajectory-{n}", passes_own_script=True)
        for n, patch in enumerate([*patches, Patch(BAD)])
    ]


async def test_the_right_patch_is_chosen_among_wrong_breaking_endless_and_unappliable_ones(sandbox: Sandbox) -> None:
    candidates = await made(sandbox, [WRONG, BREAKS, RIGHT, ENDLESS, RIGHT_TOO])
    sources = [
        "from prices import total\nassert total([5, 5], 1) == 9",
        "from prices import total\nassert total([1, 1, 1], 1) == 2, total([1, 1, 1], 1)",
        "from prices import total\nassert total([1, 2]) == 3",
    ]
    scripts = [await script(sandbox, 10 + number, source) for number, source in enumerate(sources)]
    settings = SelectionSettings(limits=Limits(seconds=5), regression_seconds=60)
    task = Task(TaskId("t"), "A discount counts once.", "prices", "0" * 40, Recipe(base=BASE))
    context = Context("", tuple(FILES), FILES, "")
    with anyio.fail_after(600):
        done = await choose(
            task, context, candidates, scripts, sandbox, ScriptedModel([Rule("A")]), settings, ListRecorder()
        )
    assert done.winner == "candidate-2", done.reasons
    assert [s.id for s in done.matrix.scripts] == ["script-10", "script-11"]
    members = {member.id: c.id for c in done.matrix.classes for member in c.members}
    assert members[CandidateId("candidate-2")] == members[CandidateId("candidate-4")]
    verdict = done.matrix.verdict(scripts[0].id, members[CandidateId("candidate-3")])
    assert verdict is Verdict.TIMED_OUT
    vetoed = done.vetoed
    assert "test_empty" in vetoed[members[CandidateId("candidate-1")]]
    assert CandidateId("candidate-5") not in members
    assert done.reasons[-1].startswith("One candidate had a patch that does not apply")
    assert done.regressions.command == "python -m unittest discover -v -s tests -t ."
    assert len(done.regressions.passing) == 2


REPORT = (
    "test_sum (tests.test_prices.Prices.test_sum) ... ok\\ntest_empty (tests.test_prices.Prices.test_empty) ... ok\\n"
)
FORGERIES: dict[str, dict[RepoPath, bytes]] = {
    "prints a report and ends": {
        RepoPath("prices.py"): f"import os\nos.write(2, b'{REPORT}')\nos._exit(0)\n".encode() + BREAKS
    },
    "prints a report and goes on": {RepoPath("prices.py"): f"import os\nos.write(2, b'{REPORT}')\n".encode() + BREAKS},
    "ends the tests with SystemExit": {RepoPath("prices.py"): BREAKS + b"import sys\nsys.exit(0)\n"},
    "replaces the tests": {RepoPath("prices.py"): BREAKS, RepoPath("tests/test_prices.py"): b""},
    "takes the place of a module of Python": {
        RepoPath("prices.py"): BREAKS,
        RepoPath("unittest.py"): f"import os\nos.write(2, b'{REPORT}')\nos._exit(0)\n".encode(),
    },
    "adds a module that Python loads by itself": {
        RepoPath("prices.py"): BREAKS, RepoPath("sitecustomize.py"): b"import os\nos._exit(0)\n",
    },
}  # fmt: skip


@pytest.mark.parametrize("how", FORGERIES)
async def test_row_12_a_patch_cannot_forge_the_repository_s_own_tests(sandbox: Sandbox, how: str) -> None:
    changes: dict[RepoPath, bytes | None] = dict(FORGERIES[how])
    forged = PatchClass(ClassId("c1"), await sandbox.make_patch(changes), ())
    honest = PatchClass(ClassId("c2"), await sandbox.make_patch({RepoPath("prices.py"): RIGHT}), ())
    task = Task(TaskId("t"), "A discount counts once.", "prices", "0" * 40, Recipe(base=BASE))
    found = await regressions(task, FILES, [forged, honest], sandbox, 60, 2, ListRecorder())
    assert len(found.passing) == 2
    assert found.broken[ClassId("c1")]
    assert found.broken[ClassId("c2")] == ()
