"""Defects of CodeMonkeys' engine, store and commands, each as a test that ours passes (its commit 7c35e1a)."""

from __future__ import annotations

import json
import re
import sys
from itertools import pairwise
from pathlib import Path

import anyio
import pytest

from agent.model.base import Stage
from agent.model.scripted import Rule, ScriptedModel, load_scripted
from harness import Settings, Status, local_task, solve
from harness.config import SandboxSettings, SelectionSettings
from harness.errors import RunConflict
from harness.progress import Silence
from tests.harness.conftest import ISSUE
from tests.harness.host_sandbox import HostBackend

FAST = SelectionSettings(regression_seconds=0.0)


async def test_changed_settings_never_reuse_stale_results(repo: Path, rules: Path, tmp_path: Path) -> None:
    """There: no fingerprint; a matrix of 5 samples is silently kept when 10 are asked for."""
    for number, settings in enumerate((Settings(candidates=2, selection=FAST), Settings(candidates=3, selection=FAST))):
        task = local_task(repo, ISSUE, settings)
        run = solve(task, settings, out=tmp_path / "out", model=load_scripted(rules), backend=HostBackend())
        if number == 0:
            await run
        else:
            with pytest.raises(RunConflict, match="candidates: 2 there, 3 now"):
                await run
    other = local_task(repo, "another issue", Settings(candidates=2))
    with pytest.raises(RunConflict, match="issue: "):
        await solve(other, Settings(candidates=2, selection=FAST), out=tmp_path / "out", backend=HostBackend())


async def test_no_script_and_no_candidate_is_an_outcome(repo: Path, tmp_path: Path) -> None:
    """There: a task without a readable script fails an assertion, one without candidates an index; both end all."""
    settings = Settings(candidates=2, selection=FAST)
    task = local_task(repo, ISSUE, settings)
    result = await solve(task, settings, out=tmp_path / "a", model=ScriptedModel([Rule("?")]), backend=HostBackend())
    assert result.status is Status.NO_CANDIDATE
    edit = "calc.py\n```python\ndef add(a, b):\n    return a + b\n```"
    model = ScriptedModel([Rule("no script", stage=Stage.TEST_WRITING), Rule(edit, stage=Stage.EDITING), Rule("?")])
    result = await solve(task, settings, out=tmp_path / "b", model=model, backend=HostBackend())
    assert result.status is Status.SELECTED
    assert "return a + b" in result.patch


async def test_a_matrix_goes_on_cell_by_cell(repo: Path, rules: Path, tmp_path: Path) -> None:
    """There: the matrix of a task is saved whole or not at all."""

    # Probes run after the matrix, and would all be new.
    chosen = FAST.model_copy(update={"probes": 0})
    settings = Settings(candidates=4, selection=chosen, sandbox=SandboxSettings(parallel=2))

    class StopInMatrix(Silence):
        def stage(self, stage: str, done: int, total: int) -> None:
            # Others in flight may have ended without a word yet, so some more than those are still to be run.
            if stage == "matrix" and done == total - settings.sandbox.parallel - 1:
                scope.cancel()

    task = local_task(repo, ISSUE, settings)
    whole = HostBackend()
    await solve(task, settings, out=tmp_path / "whole", model=load_scripted(rules), backend=whole)
    before, after = HostBackend(), HostBackend()
    with anyio.CancelScope() as scope:
        await solve(
            task,
            settings,
            out=tmp_path / "out",
            model=load_scripted(rules),
            backend=before,
            watcher=StopInMatrix(),
        )
    assert scope.cancelled_caught
    result = await solve(task, settings, out=tmp_path / "out", model=load_scripted(rules), backend=after)
    assert result.status is Status.SELECTED
    # What ran when the scope was cancelled may run again, at most one execution for each that was in flight.
    assert 0 < len(after.ran) <= len(whole.ran) - len(before.ran) + settings.sandbox.parallel
    assert len(after.ran) < len(whole.ran) / 2


async def test_a_key_is_in_no_output(
    repo: Path, rules: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """There: keys are arguments, and each stage's settings are printed with them."""
    from typer.main import get_command

    from harness.cli import app
    from harness.live import PlainLines

    commands = get_command(app).commands.values()  # type: ignore[attr-defined]
    options = {name for command in commands for option in command.params for name in option.opts}
    assert not [name for name in options if re.search(r"key|token|secret|password", name)]
    monkeypatch.setenv("BESTPATCH_API_KEY", "sk-very-secret")
    settings = Settings(candidates=2, model=f"scripted:{rules}", selection=FAST)
    await solve(
        local_task(repo, ISSUE, settings),
        settings,
        out=tmp_path / "out",
        backend=HostBackend(),
        watcher=PlainLines(sys.stderr),
    )
    captured = capsys.readouterr()
    assert "propose" in captured.err
    assert "very-secret" not in captured.err + captured.out + json.dumps(settings.model_dump(mode="json"))


def test_commands_of_the_readme_are_whole() -> None:
    """There: a comment inside a continued command drops the options after it."""
    root = Path(__file__).parents[2]
    for page in (root / "README.md", root / "docs/how-to/solve.md", root / "docs/tutorial.md"):
        lines = page.read_text().splitlines()
        for line, following in pairwise(lines):
            if line.rstrip().endswith("\\"):
                assert not re.search(r"(^|\s)#", line), f"{page.name}: {line}"
                assert following.strip(), f"{page.name}: {line}"
