"""What many executions leave behind: processes, containers, mounts, descriptors, files, memory."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
from figures import mib, ms, spread, table
from ways import Wrong, in_workspace

from sandbox.base import Limits, Sandbox
from sandbox.client import Client

SETTLE_SECONDS = 1.0
"""Workspaces end without being waited for."""
_PRINT = "import os, sys\nblock = b'x' * (1 << 20)\nfor _ in range(int(sys.argv[1])): os.write(1, block)"


@dataclass(frozen=True)
class Held:
    """What a run holds at a moment. Sizes in bytes."""

    processes: int
    """Our descendants, and what runs in our containers."""
    containers: int
    mounts: int
    """In the host's table because of our containers, and in those containers' own."""
    descriptors: int
    threads: int
    files: int
    """Below our folder for temporary files."""
    rss: int
    shims: int
    """RSS of the engine's processes that hold our containers."""
    engine: int
    """RSS of the engine itself, which others may use too."""


def held(client: Client, run_id: str) -> Held:
    """Counted for this process and the containers with the run's label; what others do on the machine is not."""
    found: list[Any] = [
        client.api.inspect_container(each["Id"]) for each in client.containers(f"bestpatch.run={run_id}")
    ]
    ids = [one["Id"] for one in found]
    first = [one["State"]["Pid"] for one in found if one["State"]["Pid"]]
    parents = _parents()
    shims = {parents[pid] for pid in first if pid in parents}
    marks = [*ids, *(one["GraphDriver"]["Data"]["MergedDir"] for one in found)]
    table_of_host = _read("/proc/self/mountinfo").splitlines()
    return Held(
        processes=sum(_descends(pid, os.getpid(), parents) or _in_one_of(ids, pid) for pid in parents),
        containers=len(found),
        mounts=sum(any(mark in line for mark in marks) for line in table_of_host)
        + sum(len(_read(f"/proc/{pid}/mountinfo").splitlines()) for pid in first),
        descriptors=len(os.listdir("/proc/self/fd")),
        threads=len(os.listdir("/proc/self/task")),
        files=sum(len(names) + len(folders) for _, folders, names in os.walk(tempfile.gettempdir())),
        rss=rss(os.getpid()),
        shims=sum(map(rss, shims)),
        engine=sum(rss(pid) for pid in parents if _read(f"/proc/{pid}/comm").strip() == "dockerd"),
    )


def rss(pid: int) -> int:
    fields = _read(f"/proc/{pid}/statm").split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") if fields else 0


def _read(path: str) -> str:
    try:
        return Path(path).read_text("utf-8", "replace")
    except OSError:
        return ""  # the process is gone


def _parents() -> dict[int, int]:
    parents: dict[int, int] = {}
    for name in os.listdir("/proc"):
        text = _read(f"/proc/{name}/stat") if name.isdigit() else ""
        if text:
            parents[int(name)] = int(text.rpartition(")")[2].split()[1])
    return parents


def _descends(pid: int, ancestor: int, parents: dict[int, int]) -> bool:
    while pid in parents:
        pid = parents[pid]
        if pid == ancestor:
            return True
    return False


def _in_one_of(containers: Sequence[str], pid: int) -> bool:
    groups = _read(f"/proc/{pid}/cgroup")
    return any(container in groups for container in containers)


async def in_a_row(sandbox: Sandbox, client: Client, run_id: str, count: int, at_once: int) -> list[tuple[str, Held]]:
    """What is held after a few executions, after a quarter of them, ..., and after so many at once."""

    async def look(moment: str) -> None:
        await anyio.sleep(SETTLE_SECONDS)
        moments.append((moment, await anyio.to_thread.run_sync(held, client, run_id)))

    moments: list[tuple[str, Held]] = []
    for _ in range(10):
        await in_workspace(sandbox)
    await look("after 10")
    seconds: list[float] = []
    for number in range(1, count + 1):
        seconds.append(await in_workspace(sandbox))
        if number % max(count // 4, 1) == 0:
            await look(f"after {number} more in a row (median {ms(spread(seconds).median)} ms)")
    for again in ("", " again"):
        began = time.perf_counter()
        async with anyio.create_task_group() as group:
            for _ in range(at_once):
                group.start_soon(in_workspace, sandbox)
        wall = time.perf_counter() - began
        await look(f"after {at_once} at once{again} ({wall:.1f} s)")
    return moments


def held_table(moments: Sequence[tuple[str, Held]]) -> str:
    header = ["", "processes", "containers", "mounts", "descriptors", "threads", "temporary files", "RSS MiB"]
    rows = [
        [moment, *map(str, (h.processes, h.containers, h.mounts, h.descriptors, h.threads, h.files)), mib(h.rss),
         mib(h.shims), mib(h.engine)]
        for moment, h in moments
    ]  # fmt: skip
    return table([*header, "shims' RSS", "engine's RSS"], rows)


@contextmanager
def most_rss() -> Generator[list[int], None, None]:
    """Yields a list whose first item becomes the most that this process had, looked at 50 times a second."""
    most, stop = [rss(os.getpid())], threading.Event()

    def watch() -> None:
        while not stop.wait(0.02):
            most[0] = max(most[0], rss(os.getpid()))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield most
    finally:
        stop.set()
        thread.join()


async def while_printing(sandbox: Sandbox, gigabytes: float) -> list[str]:
    """A row: how long it took, and the RSS of this process before, at most, and after."""
    mebibytes = int(gigabytes * 1e9 / 1024**2)
    await in_workspace(sandbox)
    before, began = rss(os.getpid()), time.perf_counter()
    with most_rss() as most:
        async with sandbox.workspace() as workspace:
            argv = [sandbox.python, "-c", _PRINT, str(mebibytes)]
            execution = await workspace.run(argv, limits=Limits(seconds=3600.0))
    if execution.exit_code != 0 or execution.output_bytes != mebibytes * 1024**2:
        raise Wrong(f"printing {gigabytes} GB ended with {execution.exit_code} after {execution.output_bytes} bytes")
    seconds = time.perf_counter() - began
    return [f"{seconds:.1f} s", mib(before), mib(most[0]), mib(rss(os.getpid()))]
