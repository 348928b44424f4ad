"""Sampling in steps by a whole run: it stops once the leader of the votes is safe, and goes on where it was killed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from agent.model.base import Price, Profile, Request, Stage
from agent.model.scripted import SCRIPTED, Rule, ScriptedModel
from agent.task import Task
from harness import Settings, Status, local_task, solve
from harness.commands.solve import summary
from harness.config import SelectionSettings
from harness.journal import Journal
from harness.progress import Silence
from harness.result import SavedRecord, StoppedRecord
from harness.sampling import UNPRICED
from tests.harness.conftest import ISSUE
from tests.harness.host_sandbox import HostBackend
from tests.harness.test_solve import Interrupter, written

SCRIPTS = [f"```python\nfrom calc import add\nassert add{case}\n```" for case in ("(1, 2) == 3", "(2, 2) == 4")]
RIVAL = "```python\nfrom calc import add\nassert add(2, 2) == 5\n```"


def edit(result: str) -> str:
    return f'calc.py\n```python\ndef add(a, b):\n    """The sum."""\n    return {result}\n```'


def block(result: str) -> str:
    return f"calc.py\n<<<<<<< SEARCH\n    return a - b\n=======\n    return {result}\n>>>>>>> REPLACE\n"


ALIKE = [Rule(*SCRIPTS, stage=Stage.TEST_WRITING), Rule(edit("a + b"), edit("b + a"), stage=Stage.EDITING)]
MENDS = [Rule(*SCRIPTS, stage=Stage.TEST_WRITING), Rule(block("a + b"), block("b + a"), stage=Stage.EDITING)]
RIVALS = [
    Rule(SCRIPTS[0], RIVAL, stage=Stage.TEST_WRITING),
    Rule(edit("a + b"), edit("5 if a == b else 0"), stage=Stage.EDITING),
]


def settings_with(risk: float, worth: float | None = None) -> Settings:
    selection = SelectionSettings(regression_seconds=0.0, risk=risk, worth=worth)
    return Settings(candidates=16, selection=selection)


@pytest.fixture
def settings() -> Settings:
    return settings_with(0.05)


@pytest.fixture
def task(repo: Path, settings: Settings) -> Task:
    return local_task(repo, ISSUE, settings)


def drawn(model: ScriptedModel) -> list[Request]:
    """The requests that draw first turns."""
    return [r for r in model.requests if r.stage is Stage.TEST_WRITING and r.turn == 0]


class Listener(Silence):
    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []

    def said(self, source: str, text: str) -> None:
        self.heard.append((source, text))


@pytest.mark.parametrize(
    ("rules", "profile"),
    [(ALIKE, SCRIPTED), (MENDS, replace(SCRIPTED, edit_format="search_replace", script_style="exit_codes"))],
    ids=["draws anew", "mends"],
)
async def test_where_all_behave_alike_it_stops(
    task: Task, settings: Settings, tmp_path: Path, rules: list[Rule], profile: Profile
) -> None:
    out = tmp_path / "out"
    model, listener = ScriptedModel(rules, profile), Listener()
    result = await solve(task, settings, out=out, model=model, backend=HostBackend(), watcher=listener)
    assert result.status is Status.SELECTED
    usage = result.usage["test_writing"].completion_tokens + result.usage["editing"].completion_tokens
    saved = SavedRecord(candidates=12, completion_tokens=3 * usage, money=None)
    assert result.stopped == StoppedRecord(made=4, asked=16, chance=1 - 1 / 2**5, saved=saved)
    assert len(result.candidates) == 4
    assert len(drawn(model)) == 1
    with Journal(out) as journal:
        assert journal.notes("stopped") == [result.stopped.model_dump()]
    assert written(out).stopped == result.stopped
    sentence = "4 of at most 16 candidates: the leader is safe (0.968)"
    assert ("candidates", sentence) in listener.heard
    assert sentence in summary(result, out, None)
    assert "12 candidates were not made, which saved about " in summary(result, out, None)
    assert f"{sentence}. 12 candidates were not made, which saved about " in (out / "report.html").read_text()
    # What it has is what a run that goes on would have made first.
    whole = await solve(
        task, settings_with(0.0), out=tmp_path / "whole", model=ScriptedModel(rules, profile), backend=HostBackend()
    )
    patches = {candidate.id: candidate.patch for candidate in whole.candidates}
    assert len(patches) == 16
    assert [patches[candidate.id] for candidate in result.candidates] == [c.patch for c in result.candidates]


async def test_where_classes_rival_it_goes_on(task: Task, settings: Settings, tmp_path: Path) -> None:
    model = ScriptedModel(RIVALS)
    result = await solve(task, settings, out=tmp_path / "out", model=model, backend=HostBackend())
    assert result.stopped is None
    assert len(result.candidates) == 16
    assert [request.trajectory for request in drawn(model)] == [f"trajectory-{n}" for n in (0, 4, 8, 12)]
    assert "at most" not in summary(result, tmp_path, None)
    assert "were not made" not in (tmp_path / "out" / "report.html").read_text()


async def test_without_a_risk_all_come_at_once(task: Task, tmp_path: Path) -> None:
    model = ScriptedModel(ALIKE)
    result = await solve(task, settings_with(0.0), out=tmp_path / "out", model=model, backend=HostBackend())
    assert result.stopped is None
    assert len(result.candidates) == 16
    assert len(drawn(model)) == 1


async def test_the_matrix_of_a_later_step_pays_for_new_cells_only(
    task: Task, settings: Settings, tmp_path: Path
) -> None:
    in_steps, at_once = HostBackend(), HostBackend()
    await solve(task, settings, out=tmp_path / "out", model=ScriptedModel(RIVALS), backend=in_steps)
    await solve(task, settings_with(0.0), out=tmp_path / "whole", model=ScriptedModel(RIVALS), backend=at_once)
    assert at_once.ran
    assert Counter(in_steps.ran) == Counter(at_once.ran)


async def test_killed_in_the_second_step_it_goes_on_and_does_nothing_twice(
    task: Task, settings: Settings, tmp_path: Path
) -> None:
    """Eight candidates, the first four of which rival: the leader is safe after the second step only."""
    rules = [
        Rule(*SCRIPTS, stage=Stage.TEST_WRITING),
        Rule(edit("5"), stage=Stage.EDITING, trajectory="trajectory-[03]"),
        Rule(edit("a + b"), edit("b + a"), stage=Stage.EDITING),
    ]
    slow = ScriptedModel([Rule("never", stage=Stage.EDITING, trajectory="trajectory-6", delay=600.0), *rules])
    out, first, second, whole = tmp_path / "out", HostBackend(), HostBackend(), HostBackend()
    with anyio.CancelScope() as scope:
        await solve(task, settings, out=out, model=slow, backend=first, watcher=Interrupter(scope, after=7))
    assert scope.cancelled_caught
    partial = written(out)
    assert (partial.status, partial.stopped) == (Status.INTERRUPTED, None)
    assert {c.trajectory for c in partial.candidates} == {f"trajectory-{n}" for n in (0, 1, 2, 3, 4, 5, 7)}
    model, uninterrupted = ScriptedModel(rules), ScriptedModel(rules)
    result = await solve(task, settings, out=out, model=model, backend=second)
    expected = await solve(task, settings, out=tmp_path / "whole", model=uninterrupted, backend=whole)
    assert result.stopped is not None
    assert result.stopped.made == 8
    assert {request.trajectory for request in model.requests} == {"trajectory-6"}
    assert Counter(first.ran) + Counter(second.ran) == Counter(whole.ran)
    left = {"wall_seconds", "stage_seconds", "sandbox_seconds", "manifest", "matrix", "usage"}
    assert result.model_dump(exclude=left) == expected.model_dump(exclude=left)
    # And once more: all of it is there.
    silent, idle = ScriptedModel([]), HostBackend()
    again = await solve(task, settings, out=out, model=silent, backend=idle)
    assert (again.stopped, silent.requests, idle.ran) == (result.stopped, [], [])


PRICED = replace(SCRIPTED, price=Price(completion=1e4))
"""A token costs a cent."""


async def test_where_more_would_cost_more_than_it_is_worth_it_stops(task: Task, tmp_path: Path) -> None:
    out, listener = tmp_path / "out", Listener()
    model = ScriptedModel(RIVALS, PRICED)
    result = await solve(
        task, settings_with(0.05, worth=0.5), out=out, model=model, backend=HostBackend(), watcher=listener
    )
    stopped = result.stopped
    assert stopped is not None
    assert stopped.not_worth is not None
    assert stopped.saved is not None
    spent = result.usage["test_writing"].money + result.usage["editing"].money
    assert (stopped.made, stopped.not_worth.candidates) == (4, 4)
    assert stopped.not_worth.cost == pytest.approx(spent)
    assert stopped.not_worth.worth == pytest.approx(0.5 * (1 - stopped.chance))
    assert stopped.saved.money == pytest.approx(3 * spent)
    sentence = f"4 of at most 16 candidates: 4 more would cost about ${spent:.2f} and are worth $0."
    assert any(text.startswith(sentence) for _, text in listener.heard)
    assert sentence in summary(result, out, None)
    assert sentence in (out / "report.html").read_text()
    assert f"completion tokens and ${3 * spent:.2f}" in (out / "report.html").read_text()
    assert result.warnings == ()


async def test_without_prices_the_worth_is_without_effect(task: Task, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = await solve(
        task, settings_with(0.05, worth=1e-6), out=out, model=ScriptedModel(RIVALS), backend=HostBackend()
    )
    assert result.stopped is None
    assert len(result.candidates) == 16
    assert result.warnings == (UNPRICED,)


async def test_killed_it_weighs_only_what_the_candidates_had_cost_by_then(task: Task, tmp_path: Path) -> None:
    """Two of the first four are wrong, so four more are worth it, and then the leader is likely right. When the run
    goes on, the journal has dear answers of the second step; the question after the first is answered as before."""
    first_four = "trajectory-[0-3]"
    rules = [
        Rule(*SCRIPTS, stage=Stage.TEST_WRITING),
        Rule(edit("5"), stage=Stage.EDITING, trajectory="trajectory-[03]"),
        Rule(edit("a + b"), edit("b + a"), stage=Stage.EDITING, trajectory=first_four),
        Rule(edit("a + b") + "\n# " + "dear " * 400, stage=Stage.EDITING),
    ]
    slow = ScriptedModel([Rule("never", stage=Stage.EDITING, trajectory="*-6", delay=600.0), *rules], PRICED)
    settings, out = settings_with(0.0, worth=40.0), tmp_path / "out"
    with anyio.CancelScope() as scope:
        watcher = Interrupter(scope, after=7)
        await solve(task, settings, out=out, model=slow, backend=HostBackend(), watcher=watcher)
    assert scope.cancelled_caught
    model = ScriptedModel(rules, PRICED)
    result = await solve(task, settings, out=out, model=model, backend=HostBackend())
    whole = ScriptedModel(rules, PRICED)
    expected = await solve(task, settings, out=tmp_path / "whole", model=whole, backend=HostBackend())
    assert {request.trajectory for request in model.requests} == {"trajectory-6"}
    assert result.stopped is not None
    assert (result.stopped.made, result.stopped.not_worth is None) == (8, False)
    assert result.stopped == expected.stopped
