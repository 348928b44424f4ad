"""Control groups: found in both versions' descriptions, held to limits and removed where we may make them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest

from sandbox import cgroup
from sandbox.base import Limits
from sandbox.cgroup import Cgroup, make_cgroup

LINE = "30 20 0:26 {root} {at} rw,nosuid shared:9 - {kind} {kind} rw,{options}"


def mounted(at: str, kind: str, options: str, root: str = "/") -> str:
    return LINE.format(root=root, at=at, kind=kind, options=options)


def ours(own: str, *mounts: str) -> dict[str, Path]:
    return dict(cgroup._ours(own, "\n".join(mounts)))  # pyright: ignore[reportPrivateUsage]


def test_version_1_has_a_tree_for_each_controller() -> None:
    mounts = [mounted("/sys/fs/cgroup/memory", "cgroup", "memory"), mounted("/c", "cgroup", "cpu,cpuacct")]
    found = ours("4:memory:/job/1\n2:cpu,cpuacct:/\n1:name=systemd:/x\n", *mounts)
    assert found == {"memory": Path("/sys/fs/cgroup/memory/job/1"), "cpu": Path("/c"), "cpuacct": Path("/c")}


def test_version_2_has_one() -> None:
    assert ours("0::/user.slice/a.scope\n", mounted("/sys/fs/cgroup", "cgroup2", "nsdelegate")) == {
        "": Path("/sys/fs/cgroup/user.slice/a.scope")
    }


def test_in_a_container_only_its_own_part_is_mounted() -> None:
    mount = mounted("/sys/fs/cgroup", "cgroup2", "x", root="/docker/1")
    assert ours("0::/docker/1/below\n", mount) == {"": Path("/sys/fs/cgroup/below")}
    assert ours("0::/elsewhere\n", mount) == {"": Path("/sys/fs/cgroup")}


def test_none_is_none() -> None:
    assert make_cgroup("", "") is None
    assert make_cgroup("0::/\n", mounted("/nowhere", "cgroup2", "x")) is None


@pytest.fixture
def made() -> Generator[Cgroup]:
    cgroup = make_cgroup()
    if cgroup is None:
        pytest.skip("no control group can be made here")
    yield cgroup
    cgroup.remove()


def test_another_is_beside_it(made: Cgroup) -> None:
    another = made.another()
    try:
        assert another.unified == made.unified
        assert {folder.parent for folder in another.folders.values()} == {f.parent for f in made.folders.values()}
        assert {*another.folders.values()}.isdisjoint(made.folders.values())
        assert all(path.exists() for path in another.procs)
    finally:
        another.remove()


def test_limits_go_up_and_down(made: Cgroup) -> None:
    for memory in (100 * 1024**2, 1024**3, 50 * 1024**2):
        made.limit(Limits(memory_bytes=memory, processes=33, cpus=0.5))
        name = "memory.max" if made.unified else "memory.limit_in_bytes"
        assert int((made.folders["memory"] / name).read_text()) == memory
        assert (made.folders["pids"] / "pids.max").read_text() == "33\n"


def test_removing_ends_what_runs(made: Cgroup) -> None:
    enter = ["/bin/sh", "-c", 'for file; do echo $$ >"$file" || exit 1; done; echo in; exec sleep 60', "sh"]
    process = subprocess.Popen([*enter, *map(str, made.procs)], stdout=subprocess.PIPE)
    with process, process.stdout or open(os.devnull, "rb") as out:
        assert out.readline() == b"in\n"
        made.remove()
        assert process.wait(20) == -9
    assert not any(folder.exists() for folder in made.folders.values())


def test_what_dead_runs_left_is_removed(made: Cgroup) -> None:
    with subprocess.Popen(["true"]) as dead:
        dead.wait()
    left = [folder.parent / f"bestpatch-{dead.pid}-left" for folder in {*made.folders.values()}]
    alive = [folder.parent / f"bestpatch-{os.getpid()}-alive" for folder in {*made.folders.values()}]
    for folder in (*left, *alive):
        folder.mkdir()
    another = make_cgroup()
    assert another is not None
    another.remove()
    assert not any(folder.exists() for folder in left)
    for folder in alive:
        folder.rmdir()
