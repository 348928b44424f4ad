"""Programs that prepare a model: output kept, errors shown, cancelled ones gone."""

from __future__ import annotations

import sys
from pathlib import Path

import anyio
import pytest

from agent.errors import ModelUnavailable
from agent.model.command import CommandFailed, pip_command, run_command
from tests.waiting import wait_gone


async def test_lines_are_told_and_logged(tmp_path: Path) -> None:
    lines: list[str] = []
    log = tmp_path / "logs" / "x.log"
    await run_command([sys.executable, "-c", "print('one'); print('two')"], log=log, line=lines.append)
    assert lines == ["one", "two"]
    assert "one\ntwo" in log.read_text()


async def test_a_failure_shows_its_output(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="boom"):
        await run_command([sys.executable, "-c", "raise SystemExit('boom')"], log=tmp_path / "log")


async def test_a_cancelled_command_is_killed_with_its_children(tmp_path: Path) -> None:
    pids: list[str] = []
    program = (
        "import os, subprocess; c = subprocess.Popen(['sleep', '60']); print(os.getpid(), c.pid, flush=True); c.wait()"
    )
    with anyio.CancelScope() as scope:

        def line(text: str) -> None:
            pids.extend(text.split())
            scope.cancel()

        await run_command([sys.executable, "-c", program], log=tmp_path / "log", line=line)
    assert len(pids) == 2
    wait_gone([int(pid) for pid in pids])


async def test_without_any_pip_the_error_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ModelUnavailable, match="ensurepip"):
        await pip_command(tmp_path / "log")
