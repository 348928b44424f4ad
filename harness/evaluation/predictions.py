"""Predictions: the patches to grade, in SWE-bench's own form."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from harness.errors import DatasetError
from harness.rows import read_rows


def _patch(value: object) -> object:
    """No patch is an empty one; a patch without its last line break gets it: SWE-bench's writers strip it off."""
    if not isinstance(value, str):
        return "" if value is None else value
    stripped = value.lstrip("\n")
    return stripped if not stripped.strip() or stripped.endswith("\n") else stripped + "\n"


class Prediction(BaseModel):
    """A system's patch for an instance. Frozen; fields beside these are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    instance_id: str = Field(min_length=1)
    model_name_or_path: str = ""
    model_patch: Annotated[str, BeforeValidator(_patch)] = ""


def read_predictions(source: str) -> tuple[Prediction, ...]:
    """The predictions of a JSONL or JSON file, in order; a JSON object of instance ids is taken as well.

    Raises DatasetError for what cannot be read, and for a second prediction of an instance.
    """
    found: dict[str, Prediction] = {}
    places: dict[str, str] = {}
    for row in read_rows(source, keyed=True):
        prediction = row.read_as(Prediction)
        name = prediction.instance_id
        if name in found:
            raise DatasetError(
                f"{row.where}: a second prediction for {name}, the first is at {places[name]}; "
                "one file holds one system's predictions: split it, or choose among them with bestpatch select"
            )
        found[name], places[name] = prediction, row.where
    if not found:
        raise DatasetError(f"{source}: holds no predictions")
    return tuple(found.values())
