"""Images are named by their content."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sandbox import image
from sandbox.base import ContainerFile, Environment, ImageName, Recipe, RepoPath, Snapshot
from sandbox.image import image_tag

SNAPSHOT = Snapshot(Path("/a.tar"), "tree-1")
RECIPE = Recipe(base="python:3.11", apt=("x",), install=("y",), env=(("A", "b"),))


def test_equal_content_has_equal_names_wherever_the_archive_lies() -> None:
    moved = replace(SNAPSHOT, tar=Path("/elsewhere.tar"))
    tag = image_tag(RECIPE, SNAPSHOT, "sha256:1")
    assert tag == image_tag(replace(RECIPE), moved, "sha256:1")
    assert tag.startswith("bestpatch/env:")


OTHERS: list[tuple[Environment, Snapshot | None, str]] = [
    (RECIPE, replace(SNAPSHOT, digest="tree-2"), "sha256:1"),
    (RECIPE, None, "sha256:1"),
    (RECIPE, SNAPSHOT, "sha256:2"),
    (replace(RECIPE, apt=()), SNAPSHOT, "sha256:1"),
    (replace(RECIPE, install=("y", "")), SNAPSHOT, "sha256:1"),
    (replace(RECIPE, env=(("A", "c"),)), SNAPSHOT, "sha256:1"),
    (ImageName("x"), SNAPSHOT, "sha256:1"),
    (ContainerFile(RepoPath("Dockerfile")), SNAPSHOT, "sha256:1"),
]


@pytest.mark.parametrize("other", OTHERS)
def test_other_content_has_another_name(other: tuple[Environment, Snapshot | None, str]) -> None:
    assert image_tag(*other) != image_tag(RECIPE, SNAPSHOT, "sha256:1")


def test_new_helpers_make_new_images(monkeypatch: pytest.MonkeyPatch) -> None:
    before = image_tag(RECIPE, SNAPSHOT, "sha256:1")
    monkeypatch.setattr(image.inside, "source", lambda _: b"changed")
    assert image_tag(RECIPE, SNAPSHOT, "sha256:1") != before
