"""The backends that the conformance suite is run against.

To hold a backend of your own to it: name a function that takes no arguments and returns a `Trial`,

    BESTPATCH_CONFORMANCE=package.module:function pytest tests/conformance/test_sandbox.py
"""

from __future__ import annotations

import importlib
import os
import uuid
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from sandbox.base import Backend, Environment, Recipe, Sandbox
from tests.conformance.repository import Repository, make_repository


@dataclass(frozen=True)
class Trial:
    """A backend on trial."""

    make: Callable[[], Backend]
    environment: Environment
    left_behind: Callable[[str], Sequence[str]]
    """What the backend still holds of a run id after closing: containers, processes, folders."""


def docker_trial() -> Trial:
    from sandbox.client import connect
    from sandbox.docker import DockerBackend, DockerSettings

    def left_behind(run_id: str) -> Sequence[str]:
        client = connect(None, 60)
        try:
            return [str(found["Id"]) for found in client.containers(f"bestpatch.run={run_id}")]
        finally:
            client.close()

    return Trial(lambda: DockerBackend(DockerSettings(parallel=2)), Recipe(base="python:3.11"), left_behind)


def _trials() -> list[Any]:
    named = os.environ.get("BESTPATCH_CONFORMANCE")
    if named:
        module, _, function = named.partition(":")
        return [pytest.param(getattr(importlib.import_module(module), function), id=named)]
    return [pytest.param(docker_trial, id="docker", marks=pytest.mark.docker)]


@pytest.fixture(scope="session", params=_trials())
def trial(request: pytest.FixtureRequest) -> Trial:
    return request.param()


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return make_repository(tmp_path_factory.mktemp("conformance"))


@pytest.fixture(scope="session")
async def sandbox(trial: Trial, repository: Repository) -> AsyncGenerator[Sandbox, None]:
    backend = trial.make()
    try:
        yield await backend.open(trial.environment, repository.snapshot, run_id=f"test-{uuid.uuid4().hex[:8]}")
    finally:
        await backend.close()
