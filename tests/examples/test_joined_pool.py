"""Runs of one task become one task: classes are found anew, known verdicts stay, missing ones are executed."""

from __future__ import annotations

import sys
from pathlib import Path

import anyio
import pytest

from agent.trajectory import ISSUE, CandidateId, ScriptId
from sandbox.base import Patch, RepoPath, Tree
from sandbox.script import Verdict
from selection.base import ClassId
from selection.pool import PoolCandidate, PoolProbe, PoolScript, PoolTask

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))  # last, so that nothing there stands for a package
from joining import Part, joined

TREE: Tree = {RepoPath("f.py"): b"x = 1\n"}


def fix(value: str) -> str:
    return f"--- a/f.py\n+++ b/f.py\n@@ -1 +1 @@\n-x = 1\n+x = {value}\n"


def part(name: str, values: str, sources: dict[str, tuple[str, str]], passing: str) -> Part:
    """Candidate i sets x to the i-th of `values`; `sources`: script -> trajectory and text; `passing`: these pass."""
    letters = sorted(set(values) - {"-"})
    ids = {value: ClassId(f"c{number}") for number, value in enumerate(letters)}
    return Part(
        name,
        PoolTask(
            id="one",
            group="tuning",
            candidates=tuple(
                PoolCandidate(
                    id=CandidateId(f"candidate-{n}"),
                    source="a model",
                    trajectory=f"trajectory-{n}",
                    script=ScriptId("script-0"),
                    class_id=ids.get(value),
                    patch=fix(value) if value in ids else "",
                    resolved=value == "2",
                )
                for n, value in enumerate(values)
            ),
            scripts=tuple(
                PoolScript(id=ScriptId(s), trajectory=author, unedited=Verdict.FAILED)
                for s, (author, _) in sources.items()
            ),
            cells={
                ScriptId(s): {c: Verdict.PASSED if value in passing else Verdict.FAILED for value, c in ids.items()}
                for s in sources
            },
            probes=(PoolProbe(id="p", outputs={}),),
            passing=3,
            broken={ids[letters[-1]]: 1},
        ),
        {ScriptId(s): text for s, (_, text) in sources.items()},
    )


BIG = part("big", "23-", {"issue-0": (ISSUE, "example"), "script-0": ("trajectory-0", "assert x == 2")}, "2")
SMALL = part("small", "42", {"issue-7": (ISSUE, "example"), "script-0": ("trajectory-1", "assert x > 3")}, "4")


def join(*parts: Part) -> tuple[PoolTask, list[tuple[str, str]]]:
    asked: list[tuple[str, str]] = []

    async def execute(source: str, patch: Patch) -> Verdict:
        asked.append((source, patch[-2]))
        return Verdict.BROKEN

    async def main() -> PoolTask:
        return await joined(parts, TREE, execute, 2)

    return anyio.run(main), asked


def test_equal_patches_of_two_runs_are_one_class() -> None:
    found, _ = join(BIG, SMALL)
    assert [(c.id, c.source, c.trajectory, c.script, c.class_id, c.resolved) for c in found.candidates] == [
        ("big/candidate-0", "big", "big/trajectory-0", "big/script-0", "c1", True),
        ("big/candidate-1", "big", "big/trajectory-1", "big/script-0", "c2", False),
        ("big/candidate-2", "big", "big/trajectory-2", "big/script-0", None, False),
        ("small/candidate-0", "small", "small/trajectory-0", "small/script-0", "c3", False),
        ("small/candidate-1", "small", "small/trajectory-1", "small/script-0", "c1", True),
    ]
    assert (found.id, found.group, found.passing, found.probes) == ("one", "tuning", 3, ())
    assert found.broken == {"c2": 1, "c3": 1}


def test_only_what_no_run_recorded_is_executed() -> None:
    found, asked = join(BIG, SMALL)
    passed, failed, broken = Verdict.PASSED, Verdict.FAILED, Verdict.BROKEN
    # The example was run on all three by one of the two. What the first run said of the class of both is kept.
    assert sorted(asked) == [("assert x == 2", "4"), ("assert x > 3", "3")]
    assert found.cells == {
        "big/issue-0": {"c1": passed, "c2": failed, "c3": passed},
        "big/script-0": {"c1": passed, "c2": failed, "c3": broken},
        "small/script-0": {"c1": failed, "c2": broken, "c3": passed},
    }
    assert [(s.id, s.trajectory) for s in found.scripts] == [
        ("big/issue-0", ISSUE),
        ("big/script-0", "big/trajectory-0"),
        ("small/script-0", "small/trajectory-1"),
    ]


def test_only_the_first_trajectories_are_taken() -> None:
    found, asked = join(BIG.first(1), SMALL.first(1))
    assert [c.id for c in found.candidates] == ["big/candidate-0", "small/candidate-0"]
    assert [s.id for s in found.scripts] == ["big/issue-0", "big/script-0"]
    assert asked == [("assert x == 2", "4")]


def test_a_patch_that_git_alone_can_apply_is_like_equal_texts_only() -> None:
    odd = "diff --git a/f.py b/g.py\nrename from f.py\nrename to g.py\n"
    task = BIG.task.model_copy(
        update={"candidates": tuple(c.model_copy(update={"patch": odd}) for c in BIG.task.candidates[:1])}
    )
    found, _ = join(Part("a", task, BIG.sources), Part("b", task, BIG.sources), SMALL)
    assert [c.class_id for c in found.candidates] == ["c1", "c1", "c2", "c3"]


def test_what_an_execution_raises_is_raised() -> None:
    async def execute(source: str, patch: Patch) -> Verdict:
        raise OSError(source)

    async def main() -> None:
        await joined([BIG, SMALL], TREE, execute, 1)

    with pytest.raises(OSError, match="assert x"):
        anyio.run(main)
