"""Trajectories in steps: each is the same as without steps, and the caller says when there are enough."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.errors import ModelUnavailable
from agent.model.base import Stage
from agent.model.scripted import SCRIPTED, Rule
from agent.propose import Proposed
from agent.trajectory import ISSUE
from tests.agent.test_propose import BLIND_SCRIPT, BLOCK, GOOD_SCRIPT, RIGHT, SHOWN, WRONG, proposed

OTHER_SCRIPT = GOOD_SCRIPT.replace("add(1, 2) == 3", "add(2, 2) == 4")
RULES = [
    Rule(GOOD_SCRIPT, OTHER_SCRIPT, stage=Stage.TEST_WRITING),
    Rule(RIGHT, WRONG, RIGHT, stage=Stage.EDITING),
]


class Asked:
    """Says at which step there are enough; keeps what it was asked."""

    def __init__(self, at: int = 0) -> None:
        self.at = at
        self.heard: list[tuple[int, Proposed]] = []

    async def __call__(self, trajectories: int, proposed: Proposed) -> bool:
        self.heard.append((trajectories, proposed))
        return trajectories == self.at


async def test_steps_change_no_trajectory(monkeypatch: pytest.MonkeyPatch) -> None:
    at_once, before, _, _ = await proposed(monkeypatch, RULES, count=12)
    asked = Asked()
    in_steps, model, _, memory = await proposed(monkeypatch, RULES, count=12, steps=(4, 8), enough=asked)
    assert in_steps == at_once
    assert [step for step, _ in asked.heard] == [4, 8]
    assert asked.heard[0][1] == Proposed(at_once.candidates[:4], at_once.scripts[:4])
    first = [r for r in model.requests if r.stage is Stage.TEST_WRITING and r.turn == 0]
    seed = before.requests[0].sampling.seed
    assert [(r.trajectory, r.sampling.seed) for r in first] == [
        ("trajectory-0", seed),
        ("trajectory-4", seed + 4),
        ("trajectory-8", seed + 8),
    ]
    assert memory.stages[-1] == ("propose", 12, 12)


async def test_enough_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _, _, _ = await proposed(monkeypatch, RULES, count=12)
    asked = Asked(at=8)
    part, model, _, memory = await proposed(monkeypatch, RULES, count=12, steps=(4, 8), enough=asked)
    assert part == Proposed(whole.candidates[:8], whole.scripts[:8])
    assert {request.trajectory for request in model.requests} == {f"trajectory-{n}" for n in range(8)}
    assert memory.stages[-1] == ("propose", 8, 12)


async def test_a_model_that_mends_stops_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    strong = replace(SCRIPTED, edit_format="search_replace", script_style="exit_codes")
    rules = [Rule(GOOD_SCRIPT, stage=Stage.TEST_WRITING), Rule(BLOCK, stage=Stage.EDITING)]
    result, model, _, _ = await proposed(monkeypatch, rules, count=9, steps=(4,), enough=Asked(at=4), profile=strong)
    assert len(result.candidates) == 4
    assert {request.trajectory for request in model.requests} == {f"trajectory-{n}" for n in range(4)}


async def test_a_script_is_taken_from_those_that_were_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = [
        Rule(*[BLIND_SCRIPT] * 3, GOOD_SCRIPT, *[BLIND_SCRIPT] * 3, OTHER_SCRIPT, stage=Stage.TEST_WRITING),
        Rule(RIGHT, stage=Stage.EDITING),
    ]
    result, _, _, _ = await proposed(monkeypatch, rules, count=8, steps=(4,), test_turns=1)
    seeds = [candidate.script.trajectory for candidate in result.candidates if candidate.script]
    assert set(seeds[:4]) == {"trajectory-3"}
    assert set(seeds[4:]) == {"trajectory-3", "trajectory-7"}


async def test_the_issues_examples_run_once(monkeypatch: pytest.MonkeyPatch) -> None:
    result, _, sandbox, _ = await proposed(monkeypatch, RULES, count=8, steps=(4,), task=SHOWN)
    assert [script.trajectory for script in result.scripts][8:] == [ISSUE] * 3
    unedited = [source for source, patch in sandbox.executed if not patch]
    assert sum("add(4, 4)" in source for source in unedited) == 1


async def test_a_model_that_is_gone_ends_it_with_the_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked()
    with pytest.raises(ModelUnavailable):
        await proposed(monkeypatch, [Rule(ModelUnavailable("gone"))], count=8, steps=(4,), enough=asked)
    assert asked.heard == []


async def test_a_model_that_goes_later_leaves_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = [Rule(ModelUnavailable("gone"), trajectory="trajectory-[4-7]"), *RULES]
    result, _, _, _ = await proposed(monkeypatch, rules, count=8, steps=(4,))
    assert [candidate.trajectory for candidate in result.candidates] == [f"trajectory-{n}" for n in range(4)]
