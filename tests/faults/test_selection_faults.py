"""Rows 28 and 29 of the faults: nothing to select by, and nothing to select from."""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from agent.model.base import Stage
from agent.model.scripted import Rule, ScriptedModel
from harness import Result, Settings, Status, solve
from harness.config import SelectionSettings
from tests.faults.drive_batch import EDITS, SCRIPTS, jobs, judged
from tests.harness.conftest import FILES

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from noop import Judge, MemoryBackend

SAME = "def add(a, b):\n    return a + b\n"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BESTPATCH_CACHE", str(tmp_path / "cache"))


def block(text: str) -> str:
    return f"```python\n{text}```\n"


def model_of(scripts: tuple[str, ...], edits: tuple[str, ...]) -> ScriptedModel:
    return ScriptedModel(
        [
            Rule(*map(block, scripts), stage=Stage.TEST_WRITING),
            Rule(*map(block, edits), stage=Stage.EDITING),
            Rule(block("from calc import add\nprint(add(2, 5))\n"), stage=Stage.COMPARISON),
        ]
    )


async def solved(
    out: Path,
    backend: MemoryBackend,
    *,
    scripts: tuple[str, ...] = SCRIPTS,
    edits: tuple[str, ...] = EDITS,
    candidates: int = 6,
    min_confidence: float = 0.0,
    risk: float = 0.01,
) -> Result:
    selection = SelectionSettings(regression_seconds=0.0, min_confidence=min_confidence, risk=risk)
    settings = Settings(candidates=candidates, selection=selection)
    task = jobs(1)[0].make(out)
    return await solve(task, settings, out=out, model=model_of(scripts, edits), backend=backend)


def decided(result: Result) -> tuple[object, ...]:
    return result.status, result.winner, result.patch, result.reasons, result.confidence


def flaky() -> Judge:
    dice = random.Random(28)
    return lambda script, files: dice.choice((0, 2, 1))


UNDECIDED: dict[str, tuple[Judge, tuple[str, ...]]] = {
    "no script is valid on the base": (lambda script, files: 1, EDITS),
    "no script tells any patch from another": (
        lambda script, files: 0 if "return a - b" not in str(files) else 2,
        EDITS,
    ),
    "every script rejects every patch": (lambda script, files: 2, EDITS),
    "all patches are equal": (judged, (SAME,)),
}


@pytest.mark.parametrize("what", UNDECIDED)
async def test_row_28_what_cannot_be_decided_is_decided_the_same_each_time_with_a_reason(
    tmp_path: Path, what: str
) -> None:
    judge, edits = UNDECIDED[what]
    first = await solved(tmp_path / "1", MemoryBackend(FILES, judge), edits=edits)
    second = await solved(tmp_path / "2", MemoryBackend(FILES, judge), edits=edits)
    assert first.status is Status.SELECTED
    assert first.reasons
    assert decided(first) == decided(second)
    careful = await solved(tmp_path / "3", MemoryBackend(FILES, judge), edits=edits, min_confidence=0.999)
    assert careful.status is Status.ABSTAINED
    assert careful.patch == ""


async def test_row_28_flaky_scripts_end_in_a_selection_that_a_resumed_run_repeats(tmp_path: Path) -> None:
    first = await solved(tmp_path, MemoryBackend(FILES, flaky()))
    again = await solved(tmp_path, MemoryBackend(FILES, flaky()))
    assert first.status is Status.SELECTED
    assert decided(again) == decided(first)


@pytest.mark.parametrize(
    ("edits", "why"),
    [
        (("I have no idea.",), "No trajectory made a patch"),
        ((FILES["calc.py"].partition("\n\n\n")[0] + "\n",), "No trajectory made a patch"),
    ],
    ids=["no edit", "only edits that change nothing"],
)
async def test_row_29_no_candidate_is_a_status_with_a_reason(tmp_path: Path, edits: tuple[str, ...], why: str) -> None:
    result = await solved(tmp_path, MemoryBackend(FILES, judged), edits=edits)
    assert result.status is Status.NO_CANDIDATE
    assert (result.winner, result.patch, result.confidence) == (None, "", None)
    assert why in " ".join(result.reasons)
    assert not (tmp_path / "patch.diff").exists()


async def test_row_29_equal_patches_cost_the_tests_of_one(tmp_path: Path) -> None:
    ran: list[tuple[str, str]] = []

    def counted(script: str, files: Mapping[str, str]) -> int:
        if "importlib" not in script:  # what asks whether the repository can be imported, once a task
            ran.append((script, str(sorted(files.items()))))
        return judged(script, files)

    result = await solved(tmp_path, MemoryBackend(FILES, counted), edits=(SAME,), candidates=16, risk=0.0)
    assert result.status is Status.SELECTED
    assert len(result.candidates) == 16
    assert len({made.class_id for made in result.candidates}) == 1
    # Each script, and the example, which this backend judges like any: once on either tree.
    assert len(ran) == len(set(ran)) == 2 * (len(SCRIPTS) + 1)
