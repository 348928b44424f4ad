"""The backends that the conformance suite is run against.

To hold a backend of your own to it: name a function that takes no arguments and returns a `Trial`,

    BESTPATCH_CONFORMANCE=package.module:function pytest tests/conformance -k sandbox
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import shutil
import uuid
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from sandbox.base import Backend, Environment, ImageName, Recipe, Sandbox
from tests.conformance.repository import Repository, make_repository

ENVIRONMENT = Recipe(base="python:3.11", env=(("FROM_THE_RECIPE", 'it is "here" $HOME'),))


@dataclass(frozen=True)
class Trial:
    """A backend on trial."""

    make: Callable[[], Backend]
    environment: Environment
    left_behind: Callable[[str], Sequence[str]]
    """What the backend still holds of a run id after closing: containers, processes, folders."""
    root: Callable[[], Environment] | None = None
    """Makes an environment whose user is root, for the attacks that only root can try; None: there is none."""
    strict: bool = True
    """Whether it keeps to what Docker's fall-back cannot: what is written has a limit, a limit that did not end the
    execution is told, the first process cannot be looked into, and the kernel's calls of `sandbox.seccomp` are refused.
    """
    cannot: Mapping[str, str] = field(default_factory=dict[str, str])
    """What it cannot promise on this machine: names of tests, with the reason."""


def docker_trial(isolation: Literal["cells", "containers"] = "cells") -> Trial:
    from sandbox.client import connect
    from sandbox.docker import DockerBackend, DockerSettings

    def make() -> Backend:
        # Named, so that cells that cannot be made are an error here and no reason to fall back.
        return DockerBackend(DockerSettings(parallel=2, isolation=isolation))

    def root() -> Environment:
        dockerfile = b"FROM bestpatch/python:3.11\nUSER 0:0\n"
        client = connect(None, 300)
        try:
            list(client.api.build(fileobj=io.BytesIO(dockerfile), tag="bestpatch/test-root", rm=True))
        finally:
            client.close()
        return ImageName("bestpatch/test-root")

    def left_behind(run_id: str) -> Sequence[str]:
        client = connect(None, 60)
        try:
            return [str(found["Id"]) for found in client.containers(f"bestpatch.run={run_id}")]
        finally:
            client.close()

    return Trial(make, ENVIRONMENT, left_behind, root, strict=isolation == "cells")


def containers_trial() -> Trial:
    return docker_trial("containers")


def bubblewrap_trial() -> Trial:
    from sandbox.bubblewrap import BubblewrapBackend, BubblewrapSettings
    from sandbox.cgroup import make_cgroup

    if shutil.which("bwrap") is None:
        pytest.skip("bwrap is not installed (package bubblewrap)")
    cgroup = make_cgroup()
    if cgroup is not None:
        cgroup.remove()
    cannot = {} if cgroup is not None else dict.fromkeys(OF_GROUPS, "no control group can be made by this user here")
    return Trial(lambda: BubblewrapBackend(BubblewrapSettings(parallel=2)), ENVIRONMENT, walled_in, cannot=cannot)


def walled_in(run_id: str) -> Sequence[str]:
    """The command lines of bwrap that carry this run id."""
    found: list[str] = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_bytes().decode("utf-8", "replace").split("\0")
            if words[0] == "bwrap" and run_id in words:
                found.append(" ".join(words[:20]))
    return found


# The first time, an image is made without an engine's help.
_UNPACKED = (pytest.mark.bubblewrap, pytest.mark.timeout(900))


def _trials() -> list[Any]:
    named = os.environ.get("BESTPATCH_CONFORMANCE")
    if named:
        module, _, function = named.partition(":")
        return [pytest.param(getattr(importlib.import_module(module), function), id=named)]
    return [
        pytest.param(docker_trial, id="docker", marks=pytest.mark.docker),
        pytest.param(containers_trial, id="docker-containers", marks=pytest.mark.docker),
        pytest.param(bubblewrap_trial, id="bubblewrap", marks=_UNPACKED),
    ]


OF_GROUPS = ("test_too_much_memory_is_told_apart_from_a_timeout", "test_the_memory_limit_is_each_executions_own")
"""Without a control group memory is held process by process, and running out of it is the program's own failure."""


@pytest.fixture(autouse=True)
def promised(request: pytest.FixtureRequest) -> None:
    if "trial" in request.fixturenames:
        trial: Trial = request.getfixturevalue("trial")
        why = trial.cannot.get(request.function.__name__)
        if why is not None:
            pytest.skip(why)


@pytest.fixture(scope="session", params=_trials())
def trial(request: pytest.FixtureRequest) -> Trial:
    return request.param()


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return make_repository(tmp_path_factory.mktemp("conformance"))


@pytest.fixture(scope="session")
async def sandbox(trial: Trial, repository: Repository) -> AsyncGenerator[Sandbox, None]:
    async with opened(trial, trial.environment, repository) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
async def root_sandbox(trial: Trial, sandbox: Sandbox, repository: Repository) -> AsyncGenerator[Sandbox, None]:
    """As `sandbox`, which has its base image made, but with root as the user inside."""
    if trial.root is None:
        pytest.skip("this backend knows no environment whose user is root")
    async with opened(trial, trial.root(), repository) as rooted:
        yield rooted


@pytest.fixture
def strict(trial: Trial) -> None:
    """For tests of what not every backend promises."""
    if not trial.strict:
        pytest.skip("this backend does not promise that")


@pytest.fixture(params=["user", "root"])
def either(request: pytest.FixtureRequest, trial: Trial) -> Sandbox:
    """The sandbox of an unprivileged user and that of root, one after the other."""
    return request.getfixturevalue("sandbox" if request.param == "user" else "root_sandbox")


@asynccontextmanager
async def opened(trial: Trial, environment: Environment, repository: Repository) -> AsyncGenerator[Sandbox, None]:
    backend = trial.make()
    try:
        yield await backend.open(environment, repository.snapshot, run_id=f"test-{uuid.uuid4().hex[:8]}")
    finally:
        await backend.close()
