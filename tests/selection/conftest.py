"""Fixtures of the selection tests."""

from __future__ import annotations

import pytest

from sandbox.base import Limits, Patch
from sandbox.script import ScriptRun
from tests.selection.fakes import FakeSandbox


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeSandbox:
    """An in-memory sandbox that executes scripts itself, and no waiting before a new try."""

    async def run_script(sandbox: FakeSandbox, source: str, patch: Patch, limits: Limits) -> ScriptRun:
        return await sandbox.script(source, patch)

    monkeypatch.setattr("selection.execute.run_script", run_script)
    monkeypatch.setattr("selection.execute.PAUSES", (0.0, 0.0, 0.0))
    return FakeSandbox()
