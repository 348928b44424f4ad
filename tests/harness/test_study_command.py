"""`bestpatch study` as people use it."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from typer.testing import CliRunner

from harness.cli import app
from selection.study import StudyRecord
from tests.selection.pools import task


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    path = tmp_path / "pool.jsonl"
    tasks = [
        task("aabb", "a", "PF", "PP", id="1", source=["x", "x", "y", "y"]),
        task("abbc", "c", "PFP", "FFP", id="2", source=["y", "x", "y", "y"]),
    ]
    path.write_text("".join(one.model_dump_json() + "\n" for one in tasks))
    return path


def run(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["study", *map(str, arguments)])
    code = done.exception.code if hasattr(done.exception, "code") else done.exit_code  # type: ignore[union-attr]
    return int(code or 0), done.output


def test_three_files_say_the_same(pool: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, told = run(pool, "--run", out, "--candidates", 2, "--candidates", 4, "--draws", 3, "--allocate")
    assert code == 0
    assert (out / "study.md").read_text() in told
    record = StudyRecord.model_validate_json((out / "study.json").read_text())
    assert [size.candidates for size in record.sizes] == [2, 4]
    assert record.files == ("pool.jsonl",)
    assert record.allocation is not None
    jsonschema.validate(json.loads((out / "study.json").read_text()), StudyRecord.model_json_schema())
    for file in ("study.md", "study.html"):
        assert f"{record.sizes[1].oracle:.3f}" in (out / file).read_text()
    before = (out / "study.json").read_text()
    code, told = run(pool, "--run", out, "--candidates", 2, "--candidates", 4, "--draws", 3, "--allocate", "--json")
    assert json.loads(told[told.index("{") :]) == json.loads(before)


def test_all_candidates_are_drawn_where_no_number_is_given(pool: Path, tmp_path: Path) -> None:
    assert run(pool, "--run", tmp_path, "--quiet") == (0, "")
    record = StudyRecord.model_validate_json((tmp_path / "study.json").read_text())
    assert (record.sizes[0].candidates, record.sizes[0].draws) == (4, 1)


def test_judgements_make_the_methods_apply_that_ask_a_model(pool: Path, tmp_path: Path) -> None:
    judged = tmp_path / "judgements.jsonl"
    pair = {"first": "b", "second": "a", "probability": 0.9}
    judged.write_text(json.dumps({"id": "1", "judgements": [pair]}) + "\n")

    def score(*flags: object) -> float | None:
        assert run(pool, "--run", tmp_path, "--quiet", "--methods", "tournament", *flags) == (0, "")
        record = StudyRecord.model_validate_json((tmp_path / "study.json").read_text())
        (found,) = [m for m in record.sizes[0].methods if m.name == "tournament"]
        return found.score

    assert score() is None
    # Task 1: b, which is wrong. Task 2: no pair of it was judged, and each of three classes is as good.
    assert score("--judgements", judged) == pytest.approx((0 + 1 / 3) / 2)


def test_comparisons_make_the_methods_apply_that_compare_and_say_what_is_missing(tmp_path: Path) -> None:
    pool = tmp_path / "patches.jsonl"
    tasks = [task("aabb", "a", "PF", id="1", patches="wxyz"), task("abbc", "c", "PFP", id="2", patches="wxyz")]
    pool.write_text("".join(one.model_dump_json() + "\n" for one in tasks))
    said = {"classes": ["a", "b"], "single": True, "passes": [{"named": "b", "choice": None}]}
    (tmp_path / "c.jsonl").write_text(json.dumps({"id": "1", "comparisons": [said]}) + "\n")
    names = "codemonkeys-machine"
    assert run(pool, "--run", tmp_path, "--quiet", "--methods", names, "--comparisons", tmp_path / "c.jsonl") == (0, "")
    record = StudyRecord.model_validate_json((tmp_path / "study.json").read_text())
    (found,) = [m for m in record.sizes[0].methods if m.name == names]
    assert found.compared == 0.5
    (note,) = record.notes
    assert "selection machine, 4 candidates: of its comparisons 0.500 are recorded" in note
    assert note in (tmp_path / "study.md").read_text()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--candidates", 5], "--candidates 5: no task of the pool has more than 4; ask for fewer, or sample more"),
        (["--candidates", 2, "--scripts", 1, "--scripts", 2], "give --scripts once for each --candidates"),
        (["--methods", "best"], "--methods best: there is no such method; there are random, first"),
        (["--group", "z"], "--group z: no task is in it"),
        (["--split", "x=2", "--split", "z=1"], "--split z=1: give SOURCE=N; the sources are x, y"),
        (["--split", "x"], "--split x: give SOURCE=N"),
        (["--split", "x=0"], "--split x=0: no candidate is left to choose from"),
    ],
)
def test_wrong_use_says_what_to_do(
    flags: list[object], said: str, pool: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, told = run(pool, "--run", tmp_path / "out", *flags)
    assert code == 2
    assert said in told
    assert not (tmp_path / "out").exists()


def test_a_split_is_measured_as_it_was_given(pool: Path, tmp_path: Path) -> None:
    code, told = run(pool, "--run", tmp_path, "--draws", 3, "--split", "x=1", "--split", "y=2")
    assert code == 0
    found = StudyRecord.model_validate_json((tmp_path / "study.json").read_text()).allocation
    assert found is not None
    assert (found.given, found.candidates, found.split) == (True, 3, {"x": 1, "y": 2})
    for text in (told, (tmp_path / "study.html").read_text()):
        assert f"The given split of 3 candidates scores {found.score:.3f}" in text
        assert "on this pool" not in text


def test_one_source_cannot_be_split(tmp_path: Path) -> None:
    path = tmp_path / "pool.jsonl"
    path.write_text(task("ab", "a").model_dump_json())
    code, told = run(path, "--run", tmp_path, "--allocate")
    assert code == 2
    assert "--allocate: all candidates are of one source" in told


def test_a_directory_that_cannot_be_made_is_told(pool: Path) -> None:
    code, told = run(pool, "--run", pool / "out", "--quiet")
    assert code == 4
    assert "cannot be made" in told
