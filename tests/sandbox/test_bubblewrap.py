"""What is bubblewrap's own: whose processes they are, places without control groups, lost hosts, images by name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import AsyncGenerator, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anyio
import pytest

from sandbox import bubblewrap
from sandbox.base import ContainerFile, Ended, ImageName, Limits, Recipe, RepoPath, Snapshot
from sandbox.bubblewrap import UNHELD, BubblewrapBackend, BubblewrapSettings, images_folder
from sandbox.bubblewrap_place import start_place
from sandbox.errors import DiskFull, EngineUnavailable, EnvironmentUnavailable
from sandbox.place import Room
from sandbox.rootfs import Rootfs, remove_tree
from sandbox.unpacked import Unpacked, Unpacker
from sandbox.walls import NOBODY, why_not
from tests.conformance.conftest import ENVIRONMENT, walled_in
from tests.conformance.repository import Repository
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.bubblewrap,
    pytest.mark.timeout(900),
    pytest.mark.skipif(why_not() is not None, reason="no user namespaces, or no bwrap"),
]
QUICK = Limits(seconds=30.0, memory_bytes=512 * 1024**2)


def unpacker(saved: Path) -> Unpacker:
    settings = BubblewrapSettings(build_seconds=900.0)
    return Unpacker(images_folder(settings.cache), saved, settings, lambda _: None, threading.Event())


@pytest.fixture
async def backend() -> AsyncGenerator[BubblewrapBackend]:
    backend = BubblewrapBackend(BubblewrapSettings(parallel=2))
    yield backend
    await backend.close()


@pytest.fixture(scope="module")
def image(repository: Repository, tmp_path_factory: pytest.TempPathFactory) -> Unpacked:
    return unpacker(tmp_path_factory.mktemp("saved")).prepare(ENVIRONMENT, repository.snapshot)


# Images


def test_a_dockerfile_is_refused_with_what_to_do(tmp_path: Path, repository: Repository) -> None:
    with pytest.raises(EnvironmentUnavailable, match="docker save"):
        unpacker(tmp_path).prepare(ContainerFile(RepoPath("Dockerfile")), repository.snapshot)


@pytest.mark.parametrize("name", ["/etc", "../etc", "..", ".", "saved/../../etc", "ghcr.io/a/b:1"])
def test_a_name_is_never_a_path(tmp_path: Path, name: str) -> None:
    (tmp_path / "saved").mkdir()
    with pytest.raises(EnvironmentUnavailable, match="does not hold it") as raised:
        unpacker(tmp_path / "saved").prepare(ImageName(name), None)
    if name.startswith("ghcr"):
        assert "docker save -o ghcr.io_a_b_1.tar" in str(raised.value)


def test_a_recipe_needs_a_snapshot(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentUnavailable, match="snapshot"):
        unpacker(tmp_path).prepare(Recipe(), None)


async def test_an_image_by_name(tmp_path: Path, image: Unpacked, repository: Repository) -> None:
    """An image of strangers, whose user is root: written anywhere, except where our own programs lie."""
    (tmp_path / "org_project_v1").symlink_to(image.root)
    backend = BubblewrapBackend(BubblewrapSettings(parallel=1, images=tmp_path))
    try:
        environment = ImageName("org/project:v1", "/srv/project")
        sandbox = await backend.open(environment, repository.snapshot, run_id="by-name")
        async with sandbox.workspace() as workspace:
            command = "id -u; pwd; echo x > /etc/made && echo y > calc.py && cat /etc/made; git status --short"
            shared = await workspace.run(["sh", "-c", "echo more >> /usr/bin/patch && tail -n 1 /usr/bin/patch"])
            written = await workspace.run(["sh", "-c", command], limits=QUICK)
            ours = await workspace.run(["sh", "-c", "echo x > /opt/bestpatch/prepare.py"], limits=QUICK)
            status = await workspace.run(["cat", "/proc/self/status"], limits=QUICK)
        async with sandbox.workspace() as workspace:
            again = await workspace.run(["sh", "-c", "ls /etc/made; git status --short"], limits=QUICK)
            whole = await workspace.run(["sh", "-c", "tail -c 5 /usr/bin/patch | od -c"], limits=QUICK)
    finally:
        await backend.close()
    assert written.output == "0\n/srv/project\nx\n M calc.py\n"
    assert ours.exit_code != 0
    assert "CapEff:\t0000000000000000" in status.output
    assert shared.output.endswith("more\n"), "also in a folder that the image shares with its base"
    assert whole.exit_code == 0
    assert "m   o   r   e" not in whole.output
    assert "No such file" in again.output
    assert "calc.py" not in again.output


def test_an_image_by_name_shares_what_is_only_read(tmp_path: Path, image: Unpacked, repository: Repository) -> None:
    """A stranger's image is copied only where making it ours writes."""
    (tmp_path / "project").symlink_to(image.root)
    snapshots = (repository.snapshot, Snapshot(repository.snapshot.tar, "another"))
    named = ImageName("project", "/srv/project")
    one, other = (unpacker(tmp_path).prepare(named, snapshot).root for snapshot in snapshots)
    assert one != other
    assert (one / "usr/bin/git").samefile(other / "usr/bin/git")
    assert not (one / "etc/passwd").samefile(other / "etc/passwd")


def bytecode(root: Path) -> list[Path]:
    """Of a module that nothing imports while an image is made."""
    return [*(root / "usr/local/lib").glob("python3*/__pycache__/statistics.*.pyc")]


def test_no_execution_compiles_the_standard_library(tmp_path: Path, image: Unpacked, repository: Repository) -> None:
    assert bytecode(image.root)
    bare = tmp_path / "bare"
    try:
        subprocess.run(["cp", "-a", "--reflink=auto", image.root, bare], check=True)
        for path in (bare / "usr/local/lib").rglob("*.pyc"):
            path.unlink()
        made = unpacker(tmp_path).prepare(ImageName("bare", "/srv/project"), repository.snapshot)
    finally:
        remove_tree(bare)
    assert bytecode(made.root)


def test_what_is_shared_cannot_be_written(image: Unpacked) -> None:
    """Else a step of one image would change all images of its base."""
    rootfs = Rootfs(image.root.parent.with_name(f"test-{uuid.uuid4().hex}"), 100.0, lambda _: None, threading.Event())
    try:
        rootfs.copy(image.root, ["usr"])
        rootfs.run("echo more >> /etc/passwd", env={})
        for command in ("touch /usr/made", "echo more >> /usr/bin/git", "rm /usr/bin/git"):
            with pytest.raises(EnvironmentUnavailable, match="failed while an image was built"):
                rootfs.run(command, env={})
    finally:
        remove_tree(rootfs.folder)
    assert os.access(image.root / "usr/bin/git", os.X_OK)


async def test_a_step_that_fails_is_told_with_its_log(backend: BubblewrapBackend, repository: Repository) -> None:
    mark = f"made-{uuid.uuid4().hex}"  # other tests make images in the same folder meanwhile
    recipe = Recipe(install=(f"touch /etc/{mark}; echo about to fail; exit 7",))
    with pytest.raises(EnvironmentUnavailable, match="exit 7") as raised:
        await backend.open(recipe, repository.snapshot, run_id="x")
    assert raised.value.log == "about to fail\n"
    assert not list(backend.images.glob(f"*/root/etc/{mark}"))


async def test_steps_are_root_in_name_only(backend: BubblewrapBackend, repository: Repository) -> None:
    """What package managers ask for works; nothing of this machine is there."""
    secret = f"canary-{uuid.uuid4().hex}"
    host = Path("/tmp") / secret
    host.write_text("")
    tell = f"chown 33:33 calc.py; id -u; ls -a /tmp | grep -c {secret} || true; ls /root | wc -l"
    recipe = Recipe(install=(f"({tell}) > told; test -w /etc",))
    try:
        sandbox = await backend.open(recipe, repository.snapshot, run_id="x")
        async with sandbox.workspace() as workspace:
            assert await workspace.read("told") == b"0\n0\n0\n"
    finally:
        host.unlink()


async def test_no_room(repository: Repository) -> None:
    backend = BubblewrapBackend(BubblewrapSettings(free_disk_bytes=1 << 60))
    with pytest.raises(DiskFull, match="free_disk_bytes"):
        await backend.open(ENVIRONMENT, repository.snapshot, run_id="x")
    await backend.close()


async def test_no_bwrap(repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    backend = BubblewrapBackend()
    with pytest.raises(EngineUnavailable, match="apt-get install bubblewrap"):
        await backend.open(ENVIRONMENT, repository.snapshot, run_id="x")
    await backend.close()


# Places


async def test_outside_it_is_nobody(backend: BubblewrapBackend, repository: Repository) -> None:
    sandbox = await backend.open(ENVIRONMENT, repository.snapshot, run_id="nobody")
    mark = f"6{uuid.uuid4().int % 10**8:08}"
    async with sandbox.workspace() as workspace, anyio.create_task_group() as group:
        group.start_soon(lambda: workspace.run(["sleep", mark], limits=QUICK))
        found: list[dict[str, str]] = []
        while not found:
            await anyio.sleep(0.05)
            found = list(statuses(["sleep", mark]))
        group.cancel_scope.cancel()
    wanted = str(os.geteuid() or NOBODY)
    for status in found:
        assert set(status["Uid"].split()) == {wanted}
        assert status["CapEff"] == "0" * 16


def statuses(command: list[str]) -> Generator[dict[str, str]]:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_text("utf-8", "replace").rstrip("\0").split("\0")
            if words == command:
                lines = (folder / "status").read_text().splitlines()
                yield {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
        except OSError:
            continue


@pytest.fixture
def unheld(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that lets us make no control group."""
    monkeypatch.setattr(bubblewrap, "make_cgroup", lambda: None)


@pytest.mark.usefixtures("unheld")
async def test_without_control_groups_each_process_is_held(repository: Repository) -> None:
    told: list[str] = []
    backend = BubblewrapBackend(BubblewrapSettings(parallel=2), told.append)
    eat = "kept = []\ntry:\n    while True: kept.append(bytearray(10_000_000))\nexcept MemoryError: print(len(kept))"
    bomb = (
        "import subprocess\nstarted = []\n"
        "try:\n    for _ in range(100): started.append(subprocess.Popen(['sleep', '30']))\n"
        "except OSError: pass\nprint(len(started))"
    )
    try:
        sandbox = await backend.open(ENVIRONMENT, repository.snapshot, run_id="unheld")
        await backend.open(ENVIRONMENT, repository.snapshot, run_id="unheld")
        async with sandbox.workspace() as one, sandbox.workspace() as other:
            limits = Limits(seconds=60, memory_bytes=256 * 1024**2, processes=40)
            eaten = await one.run([sandbox.python, "-c", eat], limits=limits)
            counts = [await each.run([sandbox.python, "-c", bomb], limits=limits) for each in (one, other)]
            assert (await one.run(["echo", "fine"], limits=QUICK)).output == "fine\n"
    finally:
        await backend.close()
    assert told.count(UNHELD) == 1
    assert eaten.ended is Ended.EXITED
    assert 5 < int(eaten.output) <= 26
    # The interpreter is one of the 40.
    assert [int(execution.output) for execution in counts] == [39, 39]


def test_a_place_outlives_the_thread_that_asked_for_it(image: Unpacked) -> None:
    """The kernel ends a place with the thread that started it; threads for calls come and go."""
    with ThreadPoolExecutor(1) as starter:
        with ThreadPoolExecutor(1) as caller:
            place = caller.submit(start_place, image, "thread", QUICK, 4096, starter, None).result()
        time.sleep(0.5)
        try:
            place.open(Room(image.repository, "/home/bestpatch", 1 << 26, 1000, image.writable))
            raw = place.run(["echo", "here"], "/", {"PATH": image.path}, QUICK, threading.Event())
            assert raw.output.text() == "here\n"
        finally:
            place.end()
        place.end()
    assert walled_in("thread") == []


HOST = """
import anyio, sys
from pathlib import Path
from sandbox.base import Limits, Snapshot
from sandbox.bubblewrap import BubblewrapBackend, BubblewrapSettings
from tests.conformance.conftest import ENVIRONMENT

async def main():
    backend = BubblewrapBackend(BubblewrapSettings(parallel=1))
    sandbox = await backend.open(ENVIRONMENT, Snapshot(Path(sys.argv[1]), sys.argv[2]), run_id=sys.argv[3])
    async with sandbox.workspace() as workspace:
        print("open", flush=True)
        await workspace.run(["sh", "-c", "sleep 300 & setsid sleep 300"], limits=Limits(seconds=300))

anyio.run(main)
"""


def test_a_killed_host_takes_its_places_along(repository: Repository, image: Unpacked) -> None:
    snapshot: Snapshot = repository.snapshot
    run_id = f"killed-{uuid.uuid4().hex[:8]}"
    argv = [sys.executable, "-c", HOST, str(snapshot.tar), snapshot.digest, run_id]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as host:
        assert host.stdout is not None
        assert host.stdout.readline() == b"open\n"
        assert walled_in(run_id)
        host.send_signal(signal.SIGKILL)
    wait_until(lambda: not walled_in(run_id))
