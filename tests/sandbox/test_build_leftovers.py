"""What is left of a build that was stopped: no container for long, and a cache that counts as ours."""

from __future__ import annotations

import subprocess
import sys
import threading
import uuid
from pathlib import Path

import pytest

from sandbox.build_context import context_of
from sandbox.builder import Builder
from sandbox.docker_engine import left_behind
from sandbox.errors import DiskFull
from sandbox.image_store import ImageStore
from sandbox.settings import DockerSettings
from tests.sandbox.images import Family, client, container_of, family

__all__ = ["client", "family"]
pytestmark = pytest.mark.docker
BASE = "bestpatch/python:3.11"


SLOW = "FROM {base}\nLABEL {family}.building=1\nRUN echo {family} > /step\nRUN sleep 100\n"


def slow_build(family: Family) -> None:
    builder = Builder(family.client, DockerSettings(cache=family.cache), family.said.append, threading.Event())
    text = SLOW.format(base=BASE, family=family.name).encode()
    with context_of(lambda context: context.add("Dockerfile", text)) as file:
        builder.build(file, f"{family.name}/env:slow", arguments={}, labels={family.name: "env"})


def test_a_build_ends_when_the_disk_falls_to_its_floor(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in a silent step. The engine removes the step's container; the steps before are a cache of ours."""

    def free(store: ImageStore) -> int:
        return 1 if sleeping(family) else 10**15

    monkeypatch.setattr(ImageStore, "free", free)
    with pytest.raises(DiskFull, match="the floor is"):
        slow_build(family)
    assert_no_container_for_long(family)
    (left,) = family.store().inventory().candidates()
    assert (left.kind, left.names) == ("cache", ())


def sleeping(family: Family) -> bool:
    """Whether the build is in its silent step."""
    containers = family.client.containers(f"{family.name}.building=1")
    return any(each["State"] == "running" and "sleep" in each["Command"] for each in containers)


def assert_no_container_for_long(family: Family) -> None:
    """The engine notices within moments that nobody waits for the build."""
    waited = threading.Event()
    for _ in range(150):
        if not family.client.containers(f"{family.name}.building=1"):
            return
        waited.wait(0.2)
    raise AssertionError("the step's container is still there")


def test_a_killed_process_leaves_of_its_build_what_prune_finds(family: Family) -> None:
    program = (
        "import sys, threading; from pathlib import Path; from sandbox.builder import Builder\n"
        "from sandbox.build_context import context_of; from sandbox.client import connect\n"
        "from sandbox.settings import DockerSettings\n"
        "say = lambda line: print(line, flush=True)\n"
        "builder = Builder(connect(None, 60), DockerSettings(cache=Path(sys.argv[1])), say, threading.Event())\n"
        "with context_of(lambda context: context.add('Dockerfile', sys.argv[2].encode())) as file:\n"
        "    builder.build(file, sys.argv[3], arguments={}, labels={})\n"
    )
    text = SLOW.format(base=BASE, family=family.name)
    argv = [sys.executable, "-c", program, str(family.cache), text, f"{family.name}/env:slow"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as process:
        while not sleeping(family):
            assert process.poll() is None
        process.kill()
    assert_no_container_for_long(family)
    assert family.there() == set()
    left = family.store().idle(before=10**12)
    assert [stored.kind for stored in left] == ["cache"]
    assert family.store().remove(left) == left
    assert family.store().inventory().candidates() == []


def test_a_builds_container_is_left_behind_when_it_ended_long_ago(family: Family) -> None:
    """As an engine leaves them that was killed itself."""
    container = family.client.create(
        BASE, f"bestpatch-test-{uuid.uuid4().hex[:8]}", host={}, labels={"bestpatch.building": "1"}
    )
    try:
        assert container not in left_behind(family.client)
        assert container in left_behind(family.client, build_seconds=-1)
        inherited = container_of(family.client, BASE)
        assert inherited not in left_behind(family.client, build_seconds=-1)
        family.client.remove(inherited)
    finally:
        family.client.remove(container)
