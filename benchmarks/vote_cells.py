"""A vote matrix on a repository of Django's size: how much of the cores its scripts get."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from codemonkeys_way import run_cell
from figures import efficiency, slope, spread, table
from ways import Containers, Wrong

from agent.trajectory import Candidate, CandidateId, ScriptId, TestScript
from harness.journal import Journal
from harness.progress import Silence
from harness.replay import JournaledSandbox
from sandbox.base import Ended, Execution, Limits, Patch, RepoPath, Sandbox
from sandbox.script import ScriptRun, Verdict
from selection.base import ClassId, PatchClass
from selection.matrix import vote_matrix

LIMITS = Limits(seconds=120.0)


@dataclass(frozen=True)
class Bare:
    """The interpreter on this host, its environment, and the folder for scripts."""

    python: str
    env: Mapping[str, str]
    folder: Path

    def cpu_seconds(self, number: int, source: str) -> tuple[int, float]:
        """Exit code, and user plus system time of the process."""
        script = self.folder / f"script{number}.py"
        script.write_text(source)
        pid = os.posix_spawn(self.python, [self.python, str(script)], dict(self.env))
        _, status, used = os.wait4(pid, 0)
        return os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime


def script_source(number: int, module: str, loops: int) -> str:
    """Fails on the patch of its own number, after importing the changed module and computing for a while."""
    return f"""import sys
import {module} as changed
total = 0
for number in range({loops}):
    total = (total * 31 + number) % 1000003
assert total >= 0
sys.exit(2 if getattr(changed, "ANSWER", None) == {number} else 0)
"""


def calibrated(bare: Bare, module: str, seconds: float) -> int:
    """How many loops make a script use this much CPU time; the least of three each, because noise only adds."""
    points: list[tuple[float, float]] = []
    for loops in (0, 2_000_000):
        runs = [bare.cpu_seconds(0, script_source(0, module, loops)) for _ in range(3)]
        if any(code != 0 for code, _ in runs):
            raise Wrong(f"a script does not run on the bare host: {runs}")
        points.append((loops, min(used for _, used in runs)))
    offset, each = slope(points)
    return max(int((seconds - offset) / each), 0)


async def patches_of(sandbox: Sandbox, path: RepoPath, content: bytes, count: int) -> list[Patch]:
    return [await sandbox.make_patch({path: content + b"\nANSWER = %d\n" % number}) for number in range(count)]


@dataclass(frozen=True)
class Matrix:
    """Sources and patches, and what must come out: script i fails on patch i only."""

    sources: Sequence[str]
    patches: Sequence[Patch]
    cores: int

    def bare(self, bare: Bare) -> tuple[list[float], float]:
        """CPU seconds of each cell on the unedited tree, and the wall of all."""
        began = time.perf_counter()
        with ThreadPoolExecutor(self.cores) as pool:
            each = len(self.patches)
            jobs = [pool.submit(bare.cpu_seconds, n, text) for n, text in enumerate(self.sources) for _ in range(each)]
            used = [job.result()[1] for job in jobs]
        return used, time.perf_counter() - began

    async def ours(self, sandbox: Sandbox, run: Path) -> float:
        """Through the vote of a run with its journal."""
        failed = ScriptRun(Verdict.FAILED, Execution(Ended.EXITED, 2, "", 0, 0.0))
        scripts = [
            TestScript(ScriptId(f"script-{n}"), text, True, f"trajectory-{n}", failed)
            for n, text in enumerate(self.sources)
        ]
        classes: list[PatchClass] = []
        for n, patch in enumerate(self.patches):
            candidate = Candidate(CandidateId(f"candidate-{n}"), patch, None, f"trajectory-{n}", True)
            classes.append(PatchClass(ClassId(f"class-{n}"), patch, (candidate,)))
        with Journal(run) as journal:
            journaled = JournaledSandbox(sandbox, journal)
            began = time.perf_counter()
            filled = await vote_matrix(scripts, classes, journaled, LIMITS, self.cores, Silence())
            seconds = time.perf_counter() - began
        for s, script in enumerate(scripts):
            for c, patch_class in enumerate(classes):
                found = filled.matrix.verdict(script.id, patch_class.id)
                if found is not (Verdict.FAILED if s == c else Verdict.PASSED):
                    raise Wrong(f"ours: script {s} on patch {c}: {filled.matrix.cells[script.id, patch_class.id]}")
        return seconds

    def as_codemonkeys(self, containers: Containers) -> float:
        began = time.perf_counter()
        with ThreadPoolExecutor(self.cores) as pool:
            jobs = {
                (s, c): pool.submit(run_cell, containers, source, patch, LIMITS.seconds)
                for s, source in enumerate(self.sources)
                for c, patch in enumerate(self.patches)
            }
            for (s, c), job in jobs.items():
                if job.result() != (2 if s == c else 0):
                    raise Wrong(f"CodeMonkeys' way: script {s} on patch {c} ended with {job.result()}")
        return time.perf_counter() - began


def matrix_table(cpu: Sequence[Sequence[float]], walls: Mapping[str, Sequence[float]], cores: int) -> str:
    """`cpu`: the bare CPU seconds of all cells in each repeat; `walls`: by way, in the same repeats."""
    rows: list[list[str]] = []
    for name, seconds in walls.items():
        shares = [efficiency(used, cores, wall) for used, wall in zip(cpu, seconds, strict=True)]
        all_shares = ", ".join(f"{share:.2f}" for share in shares)
        rows.append([name, f"{spread(seconds).median:.1f} s", f"{spread(shares).median:.2f}", all_shares])
    cells, total = len(cpu[0]), spread([sum(used) for used in cpu]).median
    header = [f"{cells} cells, {total:.1f} s of CPU, {cores} cores", "median wall", "efficiency", "of each repeat"]
    return table(header, rows)
