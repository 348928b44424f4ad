"""Trajectories side by side: one first request, no barrier, seeds from others, failures that stay with their own."""

from __future__ import annotations

from dataclasses import replace

import pytest

import agent.exchange
from agent.context.gather import Context
from agent.errors import ModelTimeout, ModelUnavailable
from agent.model.base import Profile, Request, Stage
from agent.model.scripted import SCRIPTED, Rule, ScriptedModel
from agent.propose import Enough, Proposed, ProposeSettings, never, propose, propose_scripts
from agent.task import Task, TaskId
from agent.trajectory import ISSUE, Outcome
from sandbox.base import Patch, Recipe, RepoPath
from sandbox.errors import SandboxLost
from sandbox.script import Verdict
from tests.agent.fakes import InMemorySandbox, Judge, Memory

CODE = "def add(a, b):\n    return a - b\n"
TREE = {"calc.py": CODE}
RIGHT = "```python\ndef add(a, b):\n    return a + b\n```"
WRONG = "```python\ndef add(a, b):\n    return b - a\n```"
BLOCK = "calc.py\n<<<<<<< SEARCH\n    return a - b\n=======\n    return a + b\n>>>>>>> REPLACE\n"
GOOD_SCRIPT = "```python\nfrom calc import add\nassert add(1, 2) == 3\n```"
BLIND_SCRIPT = "```python\nfrom calc import add\nassert add(1, 0) == 1\n```"
TASK = Task(TaskId("t"), "`add(1, 2)` gives -1, expected 3.", "calc", "HEAD", Recipe())


def honest(source: str, patch: Patch) -> Verdict:
    """What really executing would say of these scripts."""
    if "add(1, 0)" in source or "a + b" in patch:
        return Verdict.PASSED
    return Verdict.FAILED


async def proposed(
    monkeypatch: pytest.MonkeyPatch,
    rules: list[Rule],
    judge: Judge = honest,
    count: int = 2,
    prepared: list[Exception] | None = None,
    task: Task = TASK,
    profile: Profile = SCRIPTED,
    steps: tuple[int, ...] = (),
    enough: Enough = never,
    **settings: int,
) -> tuple[Proposed, ScriptedModel, InMemorySandbox, Memory]:
    sandbox = InMemorySandbox(TREE, judge)
    sandbox.errors = prepared or []
    monkeypatch.setattr(agent.exchange, "run_script", sandbox.run)
    model, memory = ScriptedModel(rules, profile), Memory()
    context = Context("### calc.py\n" + CODE, (RepoPath("calc.py"),), sandbox.files, "")
    chosen = ProposeSettings(candidates=count, steps=steps, **settings)  # pyright: ignore[reportArgumentType]
    result = await propose(task, context, sandbox, model, chosen, memory, enough)  # pyright: ignore[reportArgumentType]
    return result, model, sandbox, memory


async def test_each_trajectory_writes_a_script_and_an_edit_that_passes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = [Rule(GOOD_SCRIPT, stage=Stage.TEST_WRITING), Rule(RIGHT, stage=Stage.EDITING)]
    result, model, _, memory = await proposed(monkeypatch, rules, count=3)
    assert [candidate.id for candidate in result.candidates] == ["candidate-0", "candidate-1", "candidate-2"]
    assert all(candidate.passes_own_script for candidate in result.candidates)
    assert [script.trajectory for script in result.scripts] == [c.trajectory for c in result.candidates]
    assert all(script.valid for script in result.scripts)
    # one request for all first scripts, then one edit each; nobody is asked to approve
    assert [request.stage for request in model.requests].count(Stage.TEST_WRITING) == 1
    assert len(model.requests) == 4
    assert memory.stages[-1] == ("propose", 3, 3)


async def test_the_system_message_is_the_same_in_every_request(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = [Rule(BLIND_SCRIPT, GOOD_SCRIPT, stage=Stage.TEST_WRITING), Rule(WRONG, stage=Stage.EDITING)]
    _, model, _, _ = await proposed(monkeypatch, rules, count=4)
    assert len(model.requests) > 8
    assert len({request.messages[0].content for request in model.requests}) == 1
    assert {request.messages[0].role for request in model.requests} == {"system"}


async def test_turns_are_seeded_by_trajectory_and_turn_and_repeat_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = [Rule(BLIND_SCRIPT, stage=Stage.TEST_WRITING), Rule(WRONG, stage=Stage.EDITING)]
    keys: list[set[str]] = []
    for _ in range(2):
        _, model, _, _ = await proposed(monkeypatch, rules, count=3)
        seeds = [request.sampling.seed for request in model.requests]
        assert len(set(seeds)) == len(seeds)
        keys.append({request.key for request in model.requests})
    assert keys[0] == keys[1]


async def test_an_editing_trajectory_does_not_wait_for_other_scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    def late(request: Request) -> str:
        order.append(f"script {request.trajectory}")
        return GOOD_SCRIPT

    def early(request: Request) -> str:
        order.append(f"edit {request.trajectory}")
        return RIGHT

    rules = [
        Rule(GOOD_SCRIPT, BLIND_SCRIPT, stage=Stage.TEST_WRITING, turn=0),
        Rule(late, stage=Stage.TEST_WRITING, delay=0.2),
        Rule(early, stage=Stage.EDITING),
    ]
    await proposed(monkeypatch, rules)
    assert order == ["edit trajectory-0", "script trajectory-1", "edit trajectory-1"]


async def test_a_trajectory_without_a_valid_script_takes_anothers(monkeypatch: pytest.MonkeyPatch) -> None:
    other = GOOD_SCRIPT.replace("add(1, 2) == 3", "add(2, 2) == 4")
    rules = [
        Rule(BLIND_SCRIPT, GOOD_SCRIPT, BLIND_SCRIPT, other, stage=Stage.TEST_WRITING),
        Rule(RIGHT, stage=Stage.EDITING),
    ]
    result, _, _, _ = await proposed(monkeypatch, rules, count=4, test_turns=1)
    seeds = [candidate.script.trajectory for candidate in result.candidates if candidate.script]
    # 0 and 2 had none of their own: dealt round, not twice the same
    assert seeds == ["trajectory-1", "trajectory-1", "trajectory-3", "trajectory-3"]
    assert {str(script.id): script.valid for script in result.scripts}["script-trajectory-0-0"] is False


async def test_without_any_valid_script_the_edits_come_from_the_issue_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = [Rule("no idea", stage=Stage.TEST_WRITING), Rule(RIGHT, stage=Stage.EDITING)]
    result, _, sandbox, _ = await proposed(monkeypatch, rules)
    assert len(result.candidates) == 2
    assert not any(candidate.passes_own_script for candidate in result.candidates)
    assert all(candidate.script is None for candidate in result.candidates)
    assert result.scripts == ()
    assert sandbox.executed == []


async def test_one_trajectorys_failure_leaves_the_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = [
        Rule(GOOD_SCRIPT, stage=Stage.TEST_WRITING),
        Rule(ModelTimeout("too slow"), RIGHT, stage=Stage.EDITING),
    ]
    result, _, _, memory = await proposed(monkeypatch, rules)
    assert [candidate.trajectory for candidate in result.candidates] == ["trajectory-1"]
    assert len(result.scripts) == 2
    assert ("trajectory_failed", "ModelTimeout") in [(kind, detail.get("error")) for kind, detail in memory.notes]


async def test_a_slow_first_request_does_not_end_the_edits(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = [Rule(ModelTimeout("too slow"), stage=Stage.TEST_WRITING), Rule(RIGHT, stage=Stage.EDITING)]
    result, _, _, _ = await proposed(monkeypatch, rules)
    assert len(result.candidates) == 2


async def test_a_vanished_model_is_raised_when_all_died_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelUnavailable, match="gone"):
        await proposed(monkeypatch, [Rule(ModelUnavailable("gone"))])


async def test_a_lost_sandbox_is_tried_again_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = [Rule(GOOD_SCRIPT, stage=Stage.TEST_WRITING), Rule(RIGHT, stage=Stage.EDITING)]
    lost: list[Exception] = [SandboxLost("engine restarted"), SandboxLost("engine restarted")]
    result, _, _, memory = await proposed(monkeypatch, rules, count=1, prepared=lost)
    assert result.candidates[0].passes_own_script
    assert memory.notes == []


async def test_a_sandbox_that_stays_lost_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = [Rule(GOOD_SCRIPT, stage=Stage.TEST_WRITING), Rule(RIGHT, stage=Stage.EDITING)]
    lost: list[Exception] = [SandboxLost("engine gone") for _ in range(20)]
    with pytest.raises(SandboxLost, match="gone"):
        await proposed(monkeypatch, rules, count=1, prepared=lost)


async def test_outcomes_are_recorded_turn_by_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = [
        Rule("hm", stage=Stage.TEST_WRITING, turn=0),
        Rule(BLIND_SCRIPT, stage=Stage.TEST_WRITING, turn=1),
        Rule(GOOD_SCRIPT, stage=Stage.TEST_WRITING),
        Rule(WRONG, stage=Stage.EDITING, turn=0),
        Rule("no code", stage=Stage.EDITING, turn=1),
        Rule(RIGHT, stage=Stage.EDITING),
    ]
    result, _, _, memory = await proposed(monkeypatch, rules, count=1)
    assert [(turn.stage, turn.index, turn.outcome) for turn in memory.turns] == [
        (Stage.TEST_WRITING, 0, Outcome.UNREADABLE),
        (Stage.TEST_WRITING, 1, Outcome.SCRIPT_INVALID),
        (Stage.TEST_WRITING, 2, Outcome.SCRIPT_VALID),
        (Stage.EDITING, 0, Outcome.EDIT_APPLIED),
        (Stage.EDITING, 1, Outcome.EDIT_INVALID),
        (Stage.EDITING, 2, Outcome.EDIT_PASSED),
    ]
    assert all(turn.feedback for turn in memory.turns if turn.outcome is not Outcome.SCRIPT_VALID and turn.index < 2)
    assert result.candidates[0].passes_own_script


SHOWN = replace(TASK, issue="`add` is wrong:\n\nadd(2, 3) == 5\nadd(1, 0) == 1\nadd(4, 4) => 8\n")


async def test_the_issues_examples_come_as_scripts_and_seed_who_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = [Rule(BLIND_SCRIPT, GOOD_SCRIPT, "no", stage=Stage.TEST_WRITING), Rule(RIGHT, stage=Stage.EDITING)]
    result, _, _, _ = await proposed(monkeypatch, rules, count=3, task=SHOWN, test_turns=1)
    own = [script for script in result.scripts if script.trajectory != ISSUE]
    examples = result.scripts[len(own) :]
    assert [(script.id, script.valid, script.guard) for script in examples] == [
        ("script-issue-0", True, False),
        ("script-issue-1", False, True),
        ("script-issue-2", True, False),
    ]
    seeds = [candidate.script.id for candidate in result.candidates if candidate.script]
    assert seeds == ["script-issue-0", "script-trajectory-1-0", "script-issue-0"]


async def test_examples_of_a_model_that_mends_only_vote(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = [Rule("no idea", stage=Stage.TEST_WRITING), Rule(BLOCK, stage=Stage.EDITING)]
    strong = replace(SCRIPTED, edit_format="search_replace", script_style="exit_codes")
    result, model, _, _ = await proposed(monkeypatch, rules, count=2, task=SHOWN, profile=strong, test_turns=1)
    assert [candidate.script for candidate in result.candidates] == [None, None]
    assert [script.id for script in result.scripts if script.valid] == ["script-issue-0", "script-issue-2"]
    unread = replace(SHOWN, issue="`add` is wrong")
    plain, as_before, _, _ = await proposed(monkeypatch, rules, count=2, task=unread, profile=strong, test_turns=1)
    assert len(model.requests) == len(as_before.requests) == 3
    assert plain.candidates == result.candidates


async def test_scripts_for_candidates_of_others_have_the_examples_too(monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox = InMemorySandbox(TREE, honest)
    monkeypatch.setattr(agent.exchange, "run_script", sandbox.run)
    context = Context("### calc.py\n" + CODE, (RepoPath("calc.py"),), sandbox.files, "")
    model, settings = ScriptedModel([Rule(GOOD_SCRIPT)]), ProposeSettings(candidates=1)
    scripts = await propose_scripts(SHOWN, context, sandbox, model, settings, Memory())  # pyright: ignore[reportArgumentType]
    assert [script.trajectory for script in scripts] == ["trajectory-0", ISSUE, ISSUE, ISSUE]
