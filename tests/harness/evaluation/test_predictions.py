"""Predictions as other systems write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import DatasetError
from harness.evaluation.predictions import Prediction, read_predictions


def written(folder: Path, data: object, name: str = "p.json") -> str:
    (folder / name).write_text(json.dumps(data))
    return str(folder / name)


def test_all_forms(tmp_path: Path) -> None:
    one = {"instance_id": "a", "model_name_or_path": "m", "model_patch": "x\n", "full_output": "..."}
    wanted = (Prediction(instance_id="a", model_name_or_path="m", model_patch="x\n"),)
    assert read_predictions(written(tmp_path, [one])) == wanted
    assert read_predictions(written(tmp_path, {"a": one})) == wanted
    assert read_predictions(written(tmp_path, one, "p.jsonl")) == wanted


@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=30))
def test_a_patch_ends_its_last_line(patch: str) -> None:
    read = Prediction(instance_id="a", model_patch=patch).model_patch
    assert read.strip("\n") == patch.strip("\n")
    assert not read.strip() or read.endswith("\n")
    assert Prediction(instance_id="a", model_patch=read).model_patch == read


def test_no_patch_is_an_empty_one(tmp_path: Path) -> None:
    (found,) = read_predictions(written(tmp_path, [{"instance_id": "a", "model_patch": None}]))
    assert found.model_patch == ""


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ([{"instance_id": "a"}, {"instance_id": "a"}], r"row 2: a second prediction for a, the first is at .*row 1"),
        ([{"model_patch": "x"}], "row 1: instance_id"),
        ([{"instance_id": "a", "model_patch": 3}], "row 1: model_patch"),
        ([], "holds no predictions"),
    ],
)
def test_what_is_refused(tmp_path: Path, data: Any, said: str) -> None:
    with pytest.raises(DatasetError, match=said):
        read_predictions(written(tmp_path, data))
