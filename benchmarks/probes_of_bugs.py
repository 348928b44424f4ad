"""How often probes are found, and separate a buggy tree from its right fix, without a model.

    python benchmarks/probes_of_bugs.py small_bugs.jsonl --split tuning --probes 64

A line has `instance_id`, `split`, `problem_statement` (the calls it shows are the only ones known), `files`
and `patch` (the right fix). All bugs lie in one repository, each in a package of its own, so that one sandbox does.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tarfile
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import anyio
from figures import table

from agent.edit.patched import apply_in_memory
from sandbox.backends import choose_backend
from sandbox.base import UNEDITED, Limits, Patch, Recipe, RepoPath, Sandbox, Snapshot, Tree, digest_of
from sandbox.settings import BubblewrapSettings, DockerSettings
from selection.probes import Input, inputs_of, outputs_of, written
from selection.touched import touched_functions

LIMITS = Limits(seconds=30)


@dataclass
class Found:
    """What came of one bug."""

    name: str
    touched: int = 0
    inputs: list[Input] = field(default_factory=list[Input])
    before: Mapping[int, str] = field(default_factory=dict[int, str])
    after: Mapping[int, str] = field(default_factory=dict[int, str])
    seconds: tuple[float, float] = (0.0, 0.0)
    """The unedited tree, the fix."""

    def separating(self) -> list[int]:
        both = self.before.keys() & self.after.keys()
        return [number for number in sorted(both) if self.before[number] != self.after[number]]


async def look(package: str, row: Mapping[str, Any], tree: Tree, sandbox: Sandbox, most: int) -> Found:
    found = Found(row["instance_id"])
    own = {RepoPath(path): text.encode() for path, text in row["files"].items()}
    fixed = apply_in_memory(Patch(row["patch"]), own)
    if fixed is None:
        raise ValueError(f"{row['instance_id']}: its patch does not apply in memory")
    patch = await sandbox.make_patch({RepoPath(f"{package}/{file.path}"): file.content for file in fixed})
    touched = touched_functions([patch], tree)
    found.touched = len(touched)
    began = time.monotonic()
    found.inputs = inputs_of(written(row["problem_statement"], touched), touched, most, 0)
    if found.inputs:
        found.before = await outputs_of(found.inputs, UNEDITED, sandbox, seed=0, limits=LIMITS)
        middle = time.monotonic()
        found.after = await outputs_of(found.inputs, patch, sandbox, seed=0, limits=LIMITS)
        found.seconds = (middle - began, time.monotonic() - middle)
    return found


def snapshot(tree: Tree, folder: Path) -> Snapshot:
    tar = folder / "tree.tar"
    with tarfile.open(tar, "w") as archive:
        for path, content in tree.items():
            info = tarfile.TarInfo(path)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return Snapshot(tar, digest_of(*(part for item in sorted(tree.items()) for part in item)))


def summary(all_found: Sequence[Found]) -> str:
    called = [one for one in all_found if one.inputs]
    apart = [one for one in called if one.separating()]
    pairs = [(one, number) for one in apart for number in one.separating()]
    stable = sum(len(one.before.keys() & one.after.keys()) for one in called)
    given = sum(len(one.inputs) for one in called)
    rows = [
        ["bugs", str(len(all_found))],
        ["a touched function was found", str(sum(one.touched > 0 for one in all_found))],
        ["the issue shows a call", str(len(called))],
        ["an input separates the buggy tree from the fix", str(len(apart))],
        ["... one that the issue shows does", str(len({o.name for o, n in pairs if not o.inputs[n].varied}))],
        ["... only varied ones do", str(len(apart) - len({o.name for o, n in pairs if not o.inputs[n].varied}))],
        ["inputs, median of a bug", f"{median(len(one.inputs) for one in called):.0f}"],
        ["inputs with the same output twice on both trees", f"{stable} of {given}"],
        ["inputs that separate, mean of a bug", f"{len(pairs) / len(called):.1f}"],
        ["... on which the fix raises", str(sum(o.after[n].startswith("raises") for o, n in pairs))],
        ["... on which the buggy tree raises", str(sum(o.before[n].startswith("raises") for o, n in pairs))],
        ["ms for a tree (two executions), median", f"{1000 * median(one.seconds[1] for one in called):.0f}"],
        ["ms for a tree, most", f"{1000 * max(one.seconds[1] for one in called):.0f}"],
    ]
    return table(["", "count"], rows)


async def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--split", default="tuning")
    parser.add_argument("--probes", type=int, default=64, help="inputs of a bug, at most")
    parser.add_argument("--backend", default="auto", choices=("auto", "docker", "bubblewrap"))
    parser.add_argument("--show", action="store_true", help="print the separating inputs")
    options = parser.parse_args()
    rows = [json.loads(line) for line in options.file.read_text("utf-8").splitlines() if line.strip()]
    rows = [row for row in rows if row["split"] == options.split]
    packages = {f"bug{number}": row for number, row in enumerate(rows)}
    tree = {RepoPath(f"{p}/{path}"): t.encode() for p, row in packages.items() for path, t in row["files"].items()}
    with tempfile.TemporaryDirectory() as folder:
        backend = choose_backend(options.backend, DockerSettings(), BubblewrapSettings(), say=print)
        try:
            sandbox = await backend.open(Recipe(), snapshot(tree, Path(folder)), run_id="benchmark-probes")
            all_found = [await look(package, row, tree, sandbox, options.probes) for package, row in packages.items()]
        finally:
            await backend.close()
    for one in all_found if options.show else ():
        for number in one.separating():
            what = one.inputs[number]
            print(one.name, "varied" if what.varied else "shown", what.function.name, what.arguments.own)
            print("   ", one.before[number], "->", one.after[number])
    print(summary(all_found))
    missing = [one.name for one in all_found if not one.inputs]
    print(f"no call shown: {', '.join(missing) or 'none'}")
    print(f"nothing separates: {', '.join(o.name for o in all_found if o.inputs and not o.separating()) or 'none'}")


if __name__ == "__main__":
    try:
        anyio.run(main)
    except (OSError, ValueError, KeyError) as problem:
        sys.exit(f"probes_of_bugs: {type(problem).__name__}: {problem}")
