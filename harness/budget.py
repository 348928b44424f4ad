"""Keeps a run within its budget: a model around the model, which refuses further calls once a limit is reached.

To the stages a spent budget is `agent.errors.BudgetSpent`: trajectories end with what they have, and the selection
goes on among what exists. Tokens and money count what all invocations on the run's directory have spent, the wall
clock what this one has. A task's budget may lie within a run's: what the task spends counts in both, and the first
limit that is reached ends its calls.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NoReturn

import anyio

from agent.errors import BudgetSpent
from agent.model.base import Completion, Model, Profile, Request, Usage
from harness.config import BudgetSettings
from harness.result import UsageRecord


class Budget:
    """What may be spent, and what has been. `spent` names the limit that was reached, None before; `began`: when, on
    the clock."""

    def __init__(
        self,
        limits: BudgetSettings,
        before: UsageRecord,
        clock: Callable[[], float] = time.monotonic,
        *,
        within: Budget | None = None,
        name: str = "budget",
    ) -> None:
        """`before`: what earlier invocations have spent; it is no part of `within`, which has its own `before`."""
        self._limits = limits
        self._clock = clock
        self._within = within
        self._name = name
        self.began = self._start = clock()
        self._tokens = before.prompt_tokens + before.completion_tokens
        self._money = before.money
        self._seconds = before.model_seconds
        self.spent: str | None = None

    def add(self, usage: Usage) -> None:
        self._tokens += usage.prompt_tokens + usage.completion_tokens
        self._money += usage.money
        self._seconds += usage.seconds
        if self._within is not None:
            self._within.add(usage)

    def waited(self, seconds: float) -> None:
        """Time in which the task stood in line is not its own."""
        self._start += seconds

    def seconds_left(self) -> float:
        """Of the wall clock; infinite without such a limit."""
        return min(self._own_seconds_left(), self._within.seconds_left() if self._within else float("inf"))

    def _own_seconds_left(self) -> float:
        limit = self._limits.wall_seconds
        return float("inf") if limit is None else limit - (self._clock() - self._start)

    def check(self) -> None:
        """Raises BudgetSpent when a limit is reached, of this budget or of the one around it."""
        if self._within is not None:
            try:
                self._within.check()
            except BudgetSpent:
                self.spent = f"{self._within._name}: {self._within.spent}"
                raise
        limits = self._limits
        found = [
            (limits.tokens, self._tokens, "tokens", f"{self._tokens} tokens"),
            (limits.money, self._money, "money", f"${self._money:.4f}"),
            (limits.model_seconds, self._seconds, "model", f"{self._seconds:.0f} s of model calls"),
        ]
        for limit, used, name, shown in found:
            if limit is not None and used >= limit:
                self._refuse(name, f"the {self._name}'s {name} limit is reached: {shown}")
        if self._own_seconds_left() <= 0:
            self._late()

    def out_of_time(self) -> NoReturn:
        """Raises BudgetSpent for the wall clock, this budget's or that of the one around it."""
        self.check()
        self._late()

    def _late(self) -> NoReturn:
        self._refuse("wall", f"the {self._name}'s wall limit is reached: {self._limits.wall_seconds:.0f} s")

    def _refuse(self, name: str, message: str) -> NoReturn:
        self.spent = name
        raise BudgetSpent(message)


class BudgetedModel:
    """A model that answers while the budget lasts. Calls in flight when the clock runs out are given up."""

    def __init__(self, model: Model, budget: Budget) -> None:
        self._model = model
        self._budget = budget

    @property
    def profile(self) -> Profile:
        return self._model.profile

    async def complete(self, request: Request, n: int = 1) -> tuple[Completion, ...]:
        """Raises BudgetSpent besides what the model raises."""
        self._budget.check()
        completions: tuple[Completion, ...] | None = None
        with anyio.move_on_after(self._budget.seconds_left()):
            completions = await self._model.complete(request, n)
        if completions is None:
            self._budget.out_of_time()
        for completion in completions:
            self._budget.add(completion.usage)
        return completions


class SpentModel:
    """A model that answers nothing any more; what a stage gets when its run was interrupted."""

    def __init__(self, profile: Profile, why: str) -> None:
        self._profile = profile
        self._why = why

    @property
    def profile(self) -> Profile:
        return self._profile

    async def complete(self, request: Request, n: int = 1) -> tuple[Completion, ...]:
        raise BudgetSpent(self._why)
