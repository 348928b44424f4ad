"""The environment of an instance: its own, the official image, a recipe from constants, or what the tree says."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness import recipes
from harness.config import Settings
from harness.instance_environment import environment_of, official_image, suite_command
from harness.instances import Instance
from harness.repository import Repository
from sandbox.base import ImageName, Recipe
from tests.harness.test_instances import ROW

FROM_CONSTANTS = Recipe(base="python:3.7", install=("true",))


def instance(**change: Any) -> Instance:
    return Instance.model_validate({**ROW, "base_commit": "HEAD", **change})


def found(repo: Path, **change: Any) -> object:
    with Repository.open(repo) as repository:
        return environment_of(instance(**change), repository, Settings()).environment


def test_official_images() -> None:
    assert official_image(instance(instance_id="Django__Django-1"), "x86_64") == (
        "swebench/sweb.eval.x86_64.django_1776_django-1:latest"
    )
    assert official_image(instance(), "aarch64").startswith("swebench/sweb.eval.arm64.")
    assert official_image(instance(log_parser="pytest"), "AMD64").startswith("starryzhang/sweb.eval.x86_64.")


def test_without_a_repository() -> None:
    assert environment_of(instance(docker_image="a/b:1"), None, Settings()).environment == ImageName("a/b:1")
    own = {"image": "mine:2", "repository": "/src"}
    assert environment_of(instance(environment=own), None, Settings()).environment == ImageName("mine:2", "/src")


def test_with_a_repository(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    detected = Recipe(base="python:3.11", install=("python -m pip install pytest",))
    assert found(repo) == detected
    monkeypatch.setattr(recipes, "recipe_of", lambda instance, repository: FROM_CONSTANTS)
    assert found(repo) == FROM_CONSTANTS
    assert found(repo, environment={"test_cmd": "pytest"}) == FROM_CONSTANTS
    assert found(repo, environment={"image": "mine:2"}) == ImageName("mine:2")
    assert found(repo, environment={"python": "3.8", "install": [], "env": {"A": "1"}}) == Recipe(
        base="python:3.8", env=(("A", "1"),)
    )


def test_the_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    assert suite_command(instance(environment={"test_cmd": "pytest {tests} -q"})) == "pytest {tests} -q"
    assert suite_command(instance(environment={"test_cmd": "pytest -rA"})) == "pytest -rA {tests}"
    django = suite_command(instance(repo="django/django", environment={"test_cmd": "echo"})) or ""
    for files, names in (("", "\n"), ("tests/auth_tests/test_x.py tests/a.py", "auth_tests.test_x a\n")):
        shell = subprocess.run(
            ["sh", "-c", django.replace("{tests}", files)], capture_output=True, text=True, check=True
        )
        assert shell.stdout == names
    assert suite_command(instance(test_cmds=["make build", "make test"])) == "make build && make test"
    assert suite_command(instance()) is None
