"""Choosing among given candidates: only test scripts are written, and the run is one like a batch."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from agent.given import Given
from agent.model.base import Stage
from agent.model.scripted import ScriptedModel, load_scripted
from harness import Result, Settings
from harness.batch import batch
from harness.commands.select import digest_of, read_candidates
from harness.config import SelectionSettings
from harness.errors import DatasetError
from harness.result import Status
from sandbox.base import RepoPath
from tests.harness.conftest import FILES
from tests.harness.test_batch import fixed, job

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from noop import MemoryBackend, MemorySandbox

CALC = FILES["calc.py"]


async def patch_of(after: str) -> str:
    backend = MemoryBackend(FILES, fixed)
    return await MemorySandbox(backend).make_patch({RepoPath("calc.py"): after.encode()})


@pytest.fixture
def settings(own_world: Path) -> Settings:
    return Settings(candidates=3, selection=SelectionSettings(regression_seconds=0.0))


@pytest.fixture
async def given() -> tuple[Given, ...]:
    right = await patch_of(CALC.replace("a - b", "a + b"))
    wrong = await patch_of(CALC.replace("a - b", "3"))
    same = await patch_of(CALC.replace("a - b", "a + b  # the sum"))
    return (
        *(Given("system-a", wrong), Given("system-b", right), Given("system-c", same)),
        *(Given("system-d", ""), Given("system-e", "no diff")),
    )


async def test_the_best_of_the_given_is_chosen_by_scripts_that_are_written_first(
    settings: Settings, rules: Path, given: tuple[Given, ...], tmp_path: Path
) -> None:
    model, backend = load_scripted(rules), MemoryBackend(FILES, fixed)
    work = [replace(job("task-0"), given=given)]
    summary = await batch(work, settings, run=tmp_path, model=model, backend=backend)
    assert summary.counts == {"selected": 1}
    assert (summary.lines[0].candidates, summary.lines[0].refused) == (3, 2)
    result = Result.model_validate_json((tmp_path / "tasks/task-0/result.json").read_bytes())
    assert result.patch == given[1].patch
    assert {request.stage for request in model.requests} == {Stage.TEST_WRITING}
    assert [record.refused for record in result.given] == [False, False, False, True, True]
    assert [record.source for record in result.given] == [f"system-{letter}" for letter in "abcde"]
    assert "it is empty" in result.given[3].notes[0]
    assert len({made.class_id for made in result.candidates}) == 2, "equal up to comments is one class"
    report = (tmp_path / "tasks/task-0/report.html").read_text()
    assert "system-b" in report
    assert "no unified diff" in report
    assert "2 given candidates refused" in (tmp_path / "report.html").read_text()
    # The same again asks and executes nothing.
    again = await batch(work, settings, run=tmp_path, model=ScriptedModel([]), backend=MemoryBackend(FILES, fixed))
    assert again.counts == {"selected": 1}


async def test_nothing_that_can_be_taken_costs_no_model_call(settings: Settings, tmp_path: Path) -> None:
    model = ScriptedModel([])
    work = [replace(job("task-0"), given=(Given("a", ""), Given("b", "no diff")))]
    summary = await batch(work, settings, run=tmp_path, model=model, backend=MemoryBackend(FILES, fixed))
    assert summary.counts == {"no_candidate": 1}
    assert model.requests == []
    result = Result.model_validate_json((tmp_path / "tasks/task-0/result.json").read_bytes())
    assert result.status is Status.NO_CANDIDATE
    assert [record.refused for record in result.given] == [True, True]


def write(path: Path, rows: Sequence[object]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_candidates_of_several_files_are_kept_in_order(tmp_path: Path) -> None:
    first = write(
        tmp_path / "a.jsonl",
        [
            {"instance_id": "x", "model_name_or_path": "m1", "model_patch": "\nfirst", "resolved": True},
            {"instance_id": "y", "model_patch": None},
            {"instance_id": "x", "model_name_or_path": "m1", "model_patch": "second\n"},
        ],
    )
    second = tmp_path / "b.json"
    second.write_text(json.dumps({"x": {"instance_id": "x", "model_name_or_path": "m2", "model_patch": "third"}}))
    found = read_candidates([first, str(second)])
    assert found["x"] == (Given("m1", "first\n"), Given("m1", "second\n"), Given("m2", "third\n"))
    assert found["y"] == (Given("a", ""),)
    assert digest_of(found["x"]) != digest_of(found["x"][::-1])


async def test_all_candidates_of_a_batch_can_be_given(settings: Settings, rules: Path, tmp_path: Path) -> None:
    run = tmp_path / "nightly"
    await batch([job("task-0")], settings, run=run, model=load_scripted(rules), backend=MemoryBackend(FILES, fixed))
    found = read_candidates([str(run)])["task-0"]
    assert sorted(given.source for given in found) == [f"nightly/candidate-{number}" for number in (0, 1, 2)]
    assert all("a - b" in given.patch for given in found)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "holds no"),
        ('{"instance_id": "x", "model_patch": 3}\n', "model_patch"),
        ('{"model_patch": "x"}\n', "instance_id"),
        ("not json\n", "a.jsonl"),
    ],
)
def test_a_file_that_is_none_is_named(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(text)
    with pytest.raises(DatasetError, match=why):
        read_candidates([str(path)])
    with pytest.raises(DatasetError, match="no batch's directory"):
        read_candidates([str(tmp_path)])


@drawn(st.lists(st.tuples(st.sampled_from("xyz"), st.text(st.characters(codec="utf-8"), max_size=40)), min_size=1))
def test_whatever_a_file_holds_is_read_whole(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    path = tmp_path_factory.mktemp("rows") / "a.jsonl"
    source = write(path, [{"instance_id": name, "model_patch": text} for name, text in rows])
    found = read_candidates([source])
    assert sum(len(given) for given in found.values()) == len(rows)
    assert list(found) == list(dict.fromkeys(name for name, _ in rows))
