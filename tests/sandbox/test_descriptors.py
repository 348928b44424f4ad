"""A batch has more descriptors than select.select can look at."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Generator
from contextlib import ExitStack

import pytest

from sandbox.base import Limits
from sandbox.bubblewrap import BubblewrapBackend, BubblewrapSettings
from sandbox.descriptors import allow_many, arrived
from sandbox.docker import DockerBackend, DockerSettings
from sandbox.walls import why_not
from tests.conformance.conftest import ENVIRONMENT
from tests.conformance.repository import Repository


@pytest.fixture
def crowded() -> Generator[None]:
    """A process in which the next descriptor is beyond 1024."""
    allow_many()
    with ExitStack() as stack:
        fd = 0
        while fd < 1100:
            fd = os.open("/dev/null", os.O_RDONLY)
            stack.callback(os.close, fd)
        yield


@pytest.mark.usefixtures("crowded")
def test_what_arrives_at_a_high_descriptor() -> None:
    one, other = os.pipe(), os.pipe()
    try:
        assert one[0] > 1024
        assert arrived([one[0], other[0]], 0.0) == []
        os.write(other[1], b"x")
        assert arrived([one[0], other[0]], 5.0) == [other[0]]
        os.close(one[1])
        assert set(arrived([one[0], other[0]], 5.0)) == {one[0], other[0]}, "an end can be read, too"
    finally:
        for fd in (one[0], *other):
            os.close(fd)


def test_the_limit_is_raised_as_far_as_it_may() -> None:
    program = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (200, 5000))\n"
        "from sandbox.descriptors import allow_many; allow_many(); allow_many()\n"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "(5000, 5000)\n"
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 0


@pytest.mark.bubblewrap
@pytest.mark.anyio
@pytest.mark.skipif(why_not() is not None, reason="no user namespaces, or no bwrap")
@pytest.mark.usefixtures("crowded")
async def test_a_place_at_high_descriptors(repository: Repository) -> None:
    assert await _says(BubblewrapBackend(BubblewrapSettings(parallel=1)), repository) == "here\n"


@pytest.mark.docker
@pytest.mark.anyio
@pytest.mark.xdist_group("docker")
@pytest.mark.parametrize("isolation", ["cells", "containers"])
@pytest.mark.usefixtures("crowded")
async def test_a_container_at_high_descriptors(repository: Repository, isolation: str) -> None:
    backend = DockerBackend(DockerSettings.model_validate({"parallel": 1, "isolation": isolation}))
    assert await _says(backend, repository) == "here\n"


async def _says(backend: BubblewrapBackend | DockerBackend, repository: Repository) -> str:
    try:
        sandbox = await backend.open(ENVIRONMENT, repository.snapshot, run_id="crowded")
        async with sandbox.workspace() as workspace:
            execution = await workspace.run(["echo", "here"], limits=Limits(seconds=30.0))
        await sandbox.close()
        return execution.output
    finally:
        await backend.close()
