"""The budget: each limit ends the calls, and says which."""

from __future__ import annotations

import pytest

from agent.errors import BudgetSpent
from agent.model.base import Usage
from agent.model.scripted import Rule, ScriptedModel
from harness.budget import Budget, BudgetedModel, SpentModel
from harness.config import BudgetSettings
from harness.records import usage_record
from tests.harness.test_journal import request

NOTHING = usage_record(Usage())


@pytest.mark.parametrize(
    ("limits", "name"),
    [
        (BudgetSettings(tokens=100), "tokens"),
        (BudgetSettings(money=1.0), "money"),
        (BudgetSettings(model_seconds=30.0), "model"),
    ],
)
def test_each_limit(limits: BudgetSettings, name: str) -> None:
    budget = Budget(limits, NOTHING)
    budget.check()
    budget.add(Usage(prompt_tokens=59, completion_tokens=40, money=0.9, seconds=29.0))
    budget.check()
    budget.add(Usage(prompt_tokens=1, money=0.1, seconds=1.0))
    assert budget.spent is None
    with pytest.raises(BudgetSpent, match=f"the budget's {name} limit is reached"):
        budget.check()
    assert budget.spent == name


def test_what_earlier_invocations_spent_counts() -> None:
    before = usage_record(Usage(prompt_tokens=60, completion_tokens=40))
    with pytest.raises(BudgetSpent):
        Budget(BudgetSettings(tokens=100), before).check()


def test_the_wall_clock() -> None:
    now = [0.0]
    budget = Budget(BudgetSettings(wall_seconds=10.0), NOTHING, clock=lambda: now[0])
    now[0] = 9.9
    budget.check()
    now[0] = 10.0
    with pytest.raises(BudgetSpent, match="wall"):
        budget.check()


async def test_a_call_in_flight_is_given_up_when_time_is_out() -> None:
    model = BudgetedModel(ScriptedModel([Rule("late", delay=60.0)]), Budget(BudgetSettings(wall_seconds=0.05), NOTHING))
    with pytest.raises(BudgetSpent, match="wall"):
        await model.complete(request())


async def test_calls_go_on_until_the_budget_is_spent() -> None:
    inner = ScriptedModel([Rule("four tokens here")])
    budget = Budget(BudgetSettings(tokens=9), NOTHING)
    model = BudgetedModel(inner, budget)
    for number in range(2):  # 5 tokens each: the second call begins within the budget
        await model.complete(request(str(number)))
    with pytest.raises(BudgetSpent):
        await model.complete(request("2"))
    assert len(inner.requests) == 2
    assert model.profile == inner.profile


async def test_a_spent_model_says_why() -> None:
    with pytest.raises(BudgetSpent, match="because"):
        await SpentModel(ScriptedModel([]).profile, "because").complete(request())
