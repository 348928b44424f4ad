"""Images made once by several processes, and removed by age when the disk is needed; with a real engine."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Generator
from pathlib import Path

import anyio
import pytest

from sandbox.base import Recipe, Snapshot
from sandbox.build_context import Context, context_of
from sandbox.builder import Builder
from sandbox.client import Client
from sandbox.docker import DockerBackend
from sandbox.errors import DiskFull, EnvironmentUnavailable
from sandbox.image_store import ImageStore
from sandbox.settings import DockerSettings
from tests.faults.registry import layer_of
from tests.sandbox.images import MB, Family, client, container_of, family

pytestmark = pytest.mark.docker
BASE = "bestpatch/python:3.11"
__all__ = ["client", "family"]


# Removing


def test_the_least_recently_used_go_until_the_rest_is_within_the_budget(family: Family) -> None:
    family.image("env:young", used=3000)
    family.image("env:old", used=1000)
    family.image("env:middle", used=2000)
    total = family.store().inventory().total()
    assert 3 * MB <= total < 3.1 * MB
    family.store(budget=total).make_room()
    assert family.there() == {"env:young", "env:old", "env:middle"}
    family.store(budget=total - 1).make_room()
    assert family.there() == {"env:young", "env:middle"}
    assert [line.partition(",")[0] for line in family.said] == [f"removing {family.name}/env:old"]
    family.store(budget=0).make_room()
    assert family.there() == set()
    assert list((family.cache / "images").rglob("*env*")) == [], "nothing is kept of what is gone"


def test_bases_go_last_and_not_before_what_stands_on_them(family: Family) -> None:
    base = family.image("base:1", "base", used=1000)
    family.image("env:1", base=base, used=5000)
    family.image("env:2", used=6000)
    total = family.store().inventory().total()
    family.store(budget=total - 1).make_room()
    assert family.there() == {"base:1", "env:2"}
    family.store(budget=MB + MB // 2).make_room()
    assert family.there() == {"base:1"}
    family.store(budget=0).make_room()
    assert family.there() == set()


def test_what_is_used_and_what_is_not_ours_stays(family: Family, client: Client) -> None:
    """Also without a container: a run of this machine has none between two executions."""
    held = family.image("env:held", used=1000)
    contained = family.image("env:contained", used=1000)
    family.image("env:idle", used=9000)
    foreign = f"other-{family.name}:1"
    client.api.tag(family.image("env:theirs", used=1000), f"other-{family.name}", "1")
    hold = family.store().ensure(held, lambda: pytest.fail("it is there"))
    container = container_of(client, contained)
    family.store(budget=0).make_room()
    assert family.there() == {"env:held", "env:contained", "env:theirs"}
    hold.release()
    client.remove(container)
    client.api.remove_image(foreign)
    family.store(budget=0).make_room()
    assert family.there() == set()


def test_the_floor_of_free_disk_is_kept_by_removing(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    family.image("env:old", used=1000)
    family.image("env:young", used=2000)
    monkeypatch.setattr(ImageStore, "free", lambda _: 10 * MB)
    family.store(floor=8 * MB).make_room(2 * MB)
    assert family.there() == {"env:old", "env:young"}
    family.store(floor=8 * MB).make_room(2 * MB + 1)
    assert family.there() == {"env:young"}
    assert "the disk is short" in family.said[-1]


def test_nothing_is_removed_in_vain(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    family.image("env:1", used=1000)
    monkeypatch.setattr(ImageStore, "free", lambda _: 10 * MB)
    with pytest.raises(DiskFull, match="bestpatch prune"):
        family.store(floor=12 * MB).make_room()
    assert family.there() == {"env:1"}
    assert family.store().idle(1000)[0].used == 1000, "having been looked at is no use"


def test_a_build_makes_room_first(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    family.image("env:old", used=1000)
    settings = DockerSettings(cache=family.cache, image_disk_bytes=0, free_disk_bytes=0)

    def fill(context: Context) -> None:
        context.add("Dockerfile", b"FROM scratch\nCOPY data /x\n")
        context.add("data", os.urandom(MB))

    builder = Builder(family.client, settings, family.said.append, threading.Event())
    with context_of(fill) as file:
        builder.build(file, f"{family.name}/env:new", arguments={}, labels={family.name: "env"})
        assert family.there() == {"env:new"}
        # A context that the disk cannot hold twice above the floor is not sent at all.
        size = file.seek(0, io.SEEK_END)
        monkeypatch.setattr(ImageStore, "free", lambda _: 2 * size - 1 - MB)
        with pytest.raises(DiskFull):
            builder.build(file, f"{family.name}/env:big", arguments={}, labels={family.name: "env"})
    assert family.there() == {"env:new"}


# Making

MAKER = """
import sys, threading
from pathlib import Path
from sandbox.client import connect
from sandbox.image_store import ImageStore
from sandbox.settings import DockerSettings
say = lambda line: print(line, flush=True)
tag, cache = sys.argv[1:]
client = connect(None, 60)
store = ImageStore(client, DockerSettings(cache=Path(cache)), say, threading.Event())
def make():
    say("makes it")
    sys.stdin.readline()
    client.api.tag("bestpatch/python:3.11", *tag.split(":"))
store.ensure(tag, make)
say("has it")
sys.stdin.readline()
"""


@pytest.fixture
def maker(family: Family) -> Generator[Callable[[], subprocess.Popen[str]]]:
    """Starts a process that wants the image, and makes it when it is first."""
    processes: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", MAKER, f"{family.name}/env:1", str(family.cache)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()
    family.client.api.remove_image(f"{family.name}/env:1")


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def go_on(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def test_of_two_processes_one_makes_the_image(maker: Callable[[], subprocess.Popen[str]], family: Family) -> None:
    first = maker()
    assert line(first) == "makes it"
    second = maker()
    assert line(second) == f"another process is making {family.name}/env:1; waiting for it"
    go_on(first)
    assert line(first) == "has it"
    assert line(second) == "has it"


def test_when_the_maker_is_killed_the_next_one_makes_it(maker: Callable[[], subprocess.Popen[str]]) -> None:
    first = maker()
    assert line(first) == "makes it"
    second = maker()
    assert "waiting" in line(second)
    first.kill()
    assert line(second) == "makes it"
    go_on(second)
    assert line(second) == "has it"


def test_waiting_can_be_interrupted_and_has_an_end(family: Family) -> None:
    store = family.store()
    other = store.holds.take("x (made)", exclusive=True)
    assert other is not None
    store.cancelled.set()
    with pytest.raises(EnvironmentUnavailable, match="interrupted"):
        store.ensure("x", lambda: pytest.fail("another one makes it"))
    patient = family.store()
    patient.settings = patient.settings.model_copy(update={"build_seconds": 0.001})
    with pytest.raises(EnvironmentUnavailable, match=r"raise sandbox\.build_seconds"):
        patient.ensure("x", lambda: pytest.fail("another one makes it"))
    other.release()


def test_a_cache_folder_that_cannot_be_used_is_named(family: Family) -> None:
    (family.cache / "file").write_text("")
    store = ImageStore(family.client, DockerSettings(cache=family.cache / "file"), print, threading.Event())
    with pytest.raises(EnvironmentUnavailable, match="BESTPATCH_CACHE"):
        store.ensure("x", lambda: None)


async def test_no_more_builds_at_once_than_the_setting_says(family: Family, tmp_path: Path) -> None:
    """One that waits has not begun: its first word comes after the other's last step."""
    backend = DockerBackend(DockerSettings(builds=1, cache=family.cache), family.said.append)
    tar = tmp_path / "snapshot.tar"
    tar.write_bytes(layer_of({"calc.py": b"x = 1\n"}))
    made: list[str] = []

    async def one(number: int) -> None:
        sandbox = await backend.open(Recipe(install=(f"echo {number}",)), Snapshot(tar, family.name), run_id="builds")
        made.append(sandbox.digest)

    async with anyio.create_task_group() as group:
        for number in range(3):
            group.start_soon(one, number)
    await backend.close()
    order = [said.split()[0] for said in family.said if said.startswith("building") or "LABEL" in said.split(":", 1)[1]]
    assert order == ["building", "Step", "Step", "Step"] * 3
    for name in made:
        family.client.api.remove_image(name)


async def test_a_sandbox_holds_its_image_and_what_it_stands_on(client: Client, tmp_path: Path) -> None:
    settings = DockerSettings(cache=tmp_path, isolation="containers")
    backend, store = DockerBackend(settings), ImageStore(client, settings, print, threading.Event())
    tar = tmp_path / "snapshot.tar"
    tar.write_bytes(layer_of({"calc.py": b"x = 1\n"}))
    sandbox = await backend.open(Recipe(base="python:3.11"), Snapshot(tar, uuid.uuid4().hex), run_id="holding")
    described = client.image(sandbox.digest)
    assert described is not None
    name = described["RepoTags"][0]

    def idle() -> bool:
        return any(name in stored.names for stored in store.idle(before=10**12))

    assert not idle(), "no container of it runs, and it is in use all the same"
    assert store.holds.take(BASE, exclusive=True) is None
    await sandbox.close()
    assert idle()
    await backend.close()
    client.api.remove_image(name)
