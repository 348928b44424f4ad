"""What sandboxes cost: overhead of an execution, a vote matrix, what a thousand executions leave, 10 GB of output.

    python benchmarks/sandboxes.py                       everything, with the counts that docs/performance.md names
    python benchmarks/sandboxes.py --only overhead --rounds 10
    python benchmarks/sandboxes.py --backends docker,containers,bubblewrap

All ways are measured side by side in one run, in turn. Figures are printed as Markdown tables. Needs a Docker engine.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import importlib
import os
import platform
import sys
import tempfile
import uuid
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio
from big_tree import Files, big_tree, module_to_import, read_tree, snapshot_of, write_tree
from figures import table
from leaks import held, held_table, in_a_row, while_printing
from overhead import BARE, in_rounds, overhead_table
from vote_cells import Bare, Matrix, calibrated, matrix_table, patches_of, script_source
from ways import Containers, Way, bare, host_environment, in_workspace, rival_ways

from sandbox.base import Backend, Recipe, RepoPath, Sandbox
from sandbox.client import Client, connect
from sandbox.docker import DockerBackend, DockerSettings

PARTS = ("overhead", "matrix", "row", "output")
OURS = "bestpatch"
NAMES = {"docker": OURS, "containers": f"{OURS}, isolation `containers`", "bubblewrap": f"{OURS}, bubblewrap"}


def bubblewrap() -> Backend:
    return importlib.import_module("sandbox.bubblewrap").BubblewrapBackend()


BACKENDS: Mapping[str, Callable[[], Backend]] = {
    "docker": lambda: DockerBackend(DockerSettings()),
    "containers": lambda: DockerBackend(DockerSettings(isolation="containers")),
    "bubblewrap": bubblewrap,
}


@dataclass(frozen=True)
class Opened:
    """What the parts measure with."""

    sandboxes: Mapping[str, Sandbox]
    containers: Containers
    client: Client
    bare: Bare
    files: Files
    module: str
    run_id: str
    folder: Path

    @property
    def ours(self) -> Sandbox:
        return next(iter(self.sandboxes.values()))


def say(text: str) -> None:
    print(f"[{datetime.datetime.now():%H:%M:%S}] {text}", file=sys.stderr, flush=True)


@asynccontextmanager
async def opened(options: argparse.Namespace, folder: Path) -> AsyncGenerator[Opened, None]:
    files = read_tree(options.tree) if options.tree else big_tree()
    write_tree(files, folder / "tree")
    snapshot = snapshot_of(files, folder / "tree.tar")
    recipe = Recipe(base=f"python:{sys.version_info.major}.{sys.version_info.minor}")
    run_id = f"benchmark-{uuid.uuid4().hex[:12]}"
    env = {**host_environment(options.python), "PYTHONPATH": str(folder / "tree")}
    client = connect(None, 300.0)
    backends = {name: BACKENDS[name]() for name in options.backends}
    containers: Containers | None = None
    try:
        sandboxes: dict[str, Sandbox] = {}
        for name, backend in backends.items():
            say(f"opening {name}")
            sandboxes[NAMES[name]] = await backend.open(recipe, snapshot, run_id=run_id)
        first = next(iter(sandboxes.values()))
        async with first.workspace() as workspace:
            repository = workspace.repository
        containers = Containers(client.api, first.digest, first.python, repository)
        yield Opened(
            sandboxes, containers, client, Bare(options.python, env, folder), files, options.module, run_id, folder
        )
    finally:
        for backend in backends.values():
            await backend.close()
        if containers is not None:
            containers.remove_all()
        client.close()


async def part_overhead(options: argparse.Namespace, on: Opened) -> str:
    env = host_environment(options.python)
    bare_way: Way = partial(anyio.to_thread.run_sync, bare, [options.python, "-c", "pass"], env)
    ours = {name: partial(in_workspace, sandbox) for name, sandbox in on.sandboxes.items()}
    async with rival_ways(on.containers) as rivals:
        ways: dict[str, Way] = {BARE: bare_way, **ours, **rivals}
        alone = await in_rounds(ways, options.rounds, 1)
        together = await in_rounds(ways, options.rounds, 2)
    return overhead_table(alone, together, next(iter(ours)))


async def part_matrix(options: argparse.Namespace, on: Opened) -> str:
    path = RepoPath(on.module.replace(".", "/") + ".py")
    loops = calibrated(on.bare, on.module, options.seconds)
    cores = os.cpu_count() or 1
    sources = [script_source(number, on.module, loops) for number in range(options.scripts)]
    patches = await patches_of(on.ours, path, on.files[path], options.patches)
    matrix = Matrix(sources, patches, cores)
    cpu: list[list[float]] = []
    walls: dict[str, list[float]] = {name: [] for name in (BARE, *on.sandboxes, "CodeMonkeys' way")}
    for repeat in range(options.repeats):
        say(f"vote matrix, repeat {repeat + 1} of {options.repeats}")
        used, wall = await anyio.to_thread.run_sync(matrix.bare, on.bare)
        cpu.append(used)
        walls[BARE].append(wall)
        for number, (name, sandbox) in enumerate(on.sandboxes.items()):
            walls[name].append(await matrix.ours(sandbox, on.folder / f"run-{repeat}-{number}"))
        walls["CodeMonkeys' way"].append(await anyio.to_thread.run_sync(matrix.as_codemonkeys, on.containers))
    return matrix_table(cpu, walls, cores)


async def part_row(options: argparse.Namespace, on: Opened) -> str:
    moments = [("at the start", held(on.client, on.run_id))]
    moments += await in_a_row(on.ours, on.client, on.run_id, options.row, options.at_once)
    return held_table(moments)


async def part_output(options: argparse.Namespace, on: Opened) -> str:
    rows = [[name, *await while_printing(sandbox, options.gigabytes)] for name, sandbox in on.sandboxes.items()]
    header = [f"{options.gigabytes:g} GB printed", "wall", "RSS before, MiB", "most", "after"]
    return table(header, rows)


async def about(on: Opened) -> str:
    """The machine and the versions, as a line above the tables."""
    argv = ["-c", "import platform; print(platform.python_version())"]
    async with on.ours.workspace() as workspace:
        inside = (await workspace.run([on.ours.python, *argv])).output.strip()
    outside = (await anyio.run_process([on.bare.python, *argv])).stdout.decode().strip()
    engine = on.client.info()["ServerVersion"]
    return (
        f"{datetime.date.today()}, {os.cpu_count()} cores, Linux {platform.release()}, Docker {engine}; "
        f"Python {inside} in sandboxes, {outside} bare; {len(on.files)} files in the repository."
    )


async def measure(options: argparse.Namespace) -> None:
    parts = {"overhead": part_overhead, "matrix": part_matrix, "row": part_row, "output": part_output}
    with tempfile.TemporaryDirectory(prefix="bestpatch-benchmark-") as name:
        tempfile.tempdir = str(Path(name, "temporary"))  # where what this process leaves can be counted
        os.mkdir(tempfile.tempdir)
        async with opened(options, Path(name)) as on:
            print(await about(on))
            for part in options.only:
                say(f"{part}, load {os.getloadavg()[0]:.1f}")
                found = await parts[part](options, on)
                print(f"\n{found}\n\n({part}: load at the end {os.getloadavg()[0]:.1f})", flush=True)


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=listed(PARTS), default=list(PARTS), help=f"some of {','.join(PARTS)}")
    parser.add_argument("--backends", type=listed(BACKENDS), default=["docker", "containers"], help="the first is ours")
    parser.add_argument("--rounds", type=int, default=40, help="executions of each way")
    parser.add_argument("--scripts", type=int, default=10)
    parser.add_argument("--patches", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=0.5, help="CPU time of one script")
    parser.add_argument("--repeats", type=int, default=3, help="of the vote matrix")
    parser.add_argument("--row", type=int, default=1000, help="executions in a row")
    parser.add_argument("--at-once", type=int, default=64)
    parser.add_argument("--gigabytes", type=float, default=10.0)
    parser.add_argument("--python", default=sys.executable, help="of the bare host; as near to the image's as can be")
    parser.add_argument("--tree", type=Path, help="a real repository's folder instead of the made one")
    parser.add_argument("--module", default=module_to_import(), help="what scripts import and patches change")
    return parser


def listed(known: Mapping[str, object] | tuple[str, ...]) -> Callable[[str], list[str]]:
    def read(text: str) -> list[str]:
        names = text.split(",")
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"no {', '.join(unknown)}; there are {', '.join(known)}")
        return names

    return read


if __name__ == "__main__":
    asyncio.run(measure(arguments().parse_args()))
