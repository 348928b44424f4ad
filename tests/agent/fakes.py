"""Doubles for the tests of trajectories: a sandbox in memory that executes nothing, and a recorder that remembers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from agent.trajectory import Turn
from sandbox.base import Changes, Ended, Execution, Limits, Patch, RepoPath, Sandbox, Tree
from sandbox.errors import PatchRejected
from sandbox.script import ScriptRun, Verdict

Judge = Callable[[str, Patch], Verdict]


def run_of(verdict: Verdict, output: str = "") -> ScriptRun:
    """A script's end with a given verdict."""
    code = {Verdict.PASSED: 0, Verdict.FAILED: 2, Verdict.BROKEN: 1, Verdict.TIMED_OUT: None}[verdict]
    ended = Ended.TIMED_OUT if code is None else Ended.EXITED
    return ScriptRun(verdict, Execution(ended, code, output, len(output), 0.01))


class InMemorySandbox:
    """A fake sandbox: patches are the joined new contents, verdicts come from a function of the test."""

    digest = "in-memory"
    base_image = ""
    python = "/usr/bin/python3"

    def __init__(self, tree: Mapping[str, str], judge: Judge, outputs: Mapping[str, str] | None = None) -> None:
        self.files: Tree = {RepoPath(path): text.encode() for path, text in tree.items()}
        self.judge = judge
        self.outputs = outputs or {}
        self.executed: list[tuple[str, Patch]] = []
        self.lost = 0
        self.errors: list[Exception] = []
        self.made = 0

    async def tree(self) -> Tree:
        return self.files

    async def make_patch(self, changes: Changes) -> Patch:
        self.made += 1
        if self.errors:
            raise self.errors.pop(0)
        if any(path.startswith("..") for path in changes):
            raise PatchRejected("leaves the repository")
        changed = {path: data for path, data in changes.items() if self.files.get(path) != data}
        return Patch("".join(f"+++ {path}\n{(data or b'').decode()}" for path, data in sorted(changed.items())))

    async def run(self, sandbox: Sandbox, source: str, patch: Patch, limits: Limits) -> ScriptRun:
        """Stands in for `sandbox.script.run_script`."""
        if self.errors:
            raise self.errors.pop(0)
        self.executed.append((source, patch))
        verdict = self.judge(source, patch)
        return run_of(verdict, self.outputs.get(source, f"output of {verdict}"))


class Memory:
    """A recorder that keeps everything."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self.stages: list[tuple[str, int, int]] = []
        self.notes: list[tuple[str, dict[str, object]]] = []

    def turn(self, turn: Turn) -> None:
        self.turns.append(turn)

    def stage(self, stage: str, done: int, total: int) -> None:
        self.stages.append((stage, done, total))

    def note(self, kind: str, detail: dict[str, object]) -> None:
        self.notes.append((kind, detail))

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.notes]
