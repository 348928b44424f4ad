"""What `study` reads: a pool's own file, predictions, and runs with labels; and what it says of those it cannot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import DatasetError
from harness.study_pool import patch_key, read_pool
from tests.selection.pools import task

FIX = "--- a/f.py\n+++ b/f.py\n@@ -1 +1 @@\n-x = 1\n+x = 2\n"


def written(path: Path, *rows: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def prediction(system: str, patch: str = FIX, name: str = "one", **more: Any) -> dict[str, Any]:
    return {"instance_id": name, "model_name_or_path": system, "model_patch": patch, **more}


def test_a_pools_own_file_is_read_back(tmp_path: Path) -> None:
    made = [task("ab", "a", "PF", id="1", group="x"), task("ab", "a", id="2", group="y")]
    path = tmp_path / "pool.jsonl"
    path.write_text("".join(one.model_dump_json(exclude_defaults=True) + "\n" for one in made))
    assert read_pool([str(path)]).tasks == tuple(made)
    assert read_pool([str(path)], group="y").tasks == (made[1],)
    with pytest.raises(DatasetError, match="--group z: no task is in it; there are x, y"):
        read_pool([str(path)], group="z")
    with pytest.raises(DatasetError, match="task 1 is in another source, too"):
        read_pool([str(path), str(path)])


def test_predictions_of_several_files_are_candidates_of_one_task(tmp_path: Path) -> None:
    first = written(
        tmp_path / "a.jsonl",
        prediction("a", resolved=True, split="tuning"),
        prediction("a", FIX.replace("@@ -1 +1 @@", "@@ -1,2 +1,2 @@"), resolved=True),
        prediction("a", "", resolved=False),
    )
    second = written(tmp_path / "b.jsonl", {**prediction("", FIX.replace("2", "3"), resolved=False), "system": "b"})
    (found,) = read_pool([first, second]).tasks
    assert (found.id, found.group) == ("one", "tuning")
    assert [(c.id, c.class_id, c.resolved) for c in found.candidates] == [
        ("a", "c1", True),
        ("a#2", "c1", True),
        ("a#3", None, False),
        ("candidate-4", "c2", False),
    ]


def test_labels_may_stand_in_a_file_of_their_own(tmp_path: Path) -> None:
    bare = written(tmp_path / "bare.jsonl", prediction("a"))
    with pytest.raises(DatasetError, match=r"bare.jsonl:1: does not say whether it is `resolved`.*--labels"):
        read_pool([bare])
    labels = written(tmp_path / "labels.jsonl", {"instance_id": "one", "candidate": "a", "resolved": True})
    assert read_pool([bare], [labels]).tasks[0].candidates[0].resolved
    twice = written(tmp_path / "twice.jsonl", {"instance_id": "one", "candidate": "a", "resolved": False})
    with pytest.raises(DatasetError, match="an earlier line has another label for a"):
        read_pool([bare], [labels, twice])


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"x": 1}, "is neither a task of a pool"),
        ({"id": "1", "candidates": [], "more": 1}, "more: Extra inputs are not permitted"),
        ({"instance_id": "", "model_patch": ""}, "instance_id: String should have at least 1 character"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_place(row: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=f"pool.jsonl:1: {said}"):
        read_pool([written(tmp_path / "pool.jsonl", row)])


def test_a_key_looks_at_what_changes_only() -> None:
    assert patch_key(FIX) == patch_key("diff --git a/f.py b/f.py\n" + FIX.replace("-x", " y\n-x") + "+  # why\n+\n")
    assert patch_key(FIX) != patch_key(FIX.replace("+x", "+ x"))
    assert patch_key(FIX) != patch_key(FIX.replace("f.py", "g.py"))
    assert patch_key("") == patch_key("--- a/f\n+++ b/f\n@@ -1 +1,2 @@\n x\n+# a comment\n") == ""


@given(st.text())
def test_any_text_has_a_key(text: str) -> None:
    assert patch_key(text) == patch_key(text)
