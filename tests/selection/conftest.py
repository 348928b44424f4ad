"""Fixtures of the selection tests."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from agent.trajectory import Candidate
from sandbox.base import Limits, Patch, Sandbox, Tree
from sandbox.script import ScriptRun
from selection.base import ClassId, PatchClass
from tests.selection.fakes import FakeSandbox


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeSandbox:
    """An in-memory sandbox that executes scripts itself, and no waiting before a new try."""

    async def run_script(sandbox: FakeSandbox, source: str, patch: Patch, limits: Limits) -> ScriptRun:
        return await sandbox.script(source, patch)

    monkeypatch.setattr("selection.execute.run_script", run_script)
    monkeypatch.setattr("selection.execute.PAUSES", (0.0, 0.0, 0.0))
    return FakeSandbox()


@pytest.fixture
def classes_by_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal texts are one class: how patches are normalised is tested with `equivalence`."""

    async def classes_of(candidates: Sequence[Candidate], tree: Tree, sandbox: Sandbox) -> tuple[PatchClass, ...]:
        groups: dict[str, list[Candidate]] = {}
        for one in candidates:
            groups.setdefault(one.patch, []).append(one)
        return tuple(
            PatchClass(ClassId(f"c{number}"), members[0].patch, tuple(members))
            for number, members in enumerate(groups.values(), 1)
        )

    monkeypatch.setattr("selection.voted.classes_of", classes_of)
