"""What all tasks share may be away for a while: then all wait, and nothing is lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import pytest

from agent.errors import ModelDenied, ModelTimeout, ModelUnavailable
from harness import gate as gates
from harness.gate import MODEL_FAILURES, Gate


class Shared:
    """Something that is away while `down` is set."""

    def __init__(self) -> None:
        self.down: Exception | None = None
        self.calls = self.checks = 0
        self.said: list[str] = []
        self.given_up: list[Exception] = []
        self.scope = anyio.CancelScope()
        self.back_after: int | None = None
        """After so many checks it is there again."""

    async def call(self) -> str:
        self.calls += 1
        await anyio.lowlevel.checkpoint()
        if self.down is not None:
            raise self.down
        return "answer"

    async def check(self) -> None:
        self.checks += 1
        await anyio.lowlevel.checkpoint()
        if self.back_after is not None and self.checks > self.back_after:
            self.down = None
        if self.down is not None:
            raise self.down

    def give_up(self, error: Exception) -> None:
        self.given_up.append(error)
        self.scope.cancel()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "PAUSES", (0.0,))


@pytest.fixture
async def shared() -> Shared:
    return Shared()


def gate_of(shared: Shared, patience: float = 60.0) -> Gate:
    return Gate("the model", shared.check, patience=patience, say=shared.said.append, give_up=shared.give_up)


async def all_of(gate: Gate, actions: list[Callable[[], Awaitable[str]]]) -> list[str]:
    answers: list[str] = []

    async def one(action: Callable[[], Awaitable[str]]) -> None:
        answers.append(await gate.through(action, MODEL_FAILURES))

    async with anyio.create_task_group() as group:
        for action in actions:
            group.start_soon(one, action)
    return answers


async def test_an_outage_is_waited_out_by_all_and_asked_about_by_one(shared: Shared) -> None:
    shared.down, shared.back_after = ModelUnavailable("refused"), 3
    assert await all_of(gate_of(shared), [shared.call] * 40) == ["answer"] * 40
    assert shared.checks == 4, "one asks for all"
    assert shared.said[0].startswith("the model: refused; waiting for up to 60 s")
    assert "there again" in shared.said[1]
    assert shared.given_up == []


async def test_a_failure_while_the_shared_thing_answers_is_the_callers_own(shared: Shared) -> None:
    async def refused() -> str:
        shared.calls += 1
        raise ModelUnavailable("refuses the request")

    gate = gate_of(shared)
    with pytest.raises(ModelUnavailable, match="refuses"):
        await gate.through(refused, MODEL_FAILURES)
    assert shared.calls == 2, "once more, for it may have come back in between"
    assert await gate.through(shared.call, MODEL_FAILURES) == "answer"
    assert shared.said == []


async def test_a_deadline_is_not_waited_for_twice(shared: Shared) -> None:
    async def late() -> str:
        shared.calls += 1
        raise ModelTimeout("too long")

    with pytest.raises(ModelTimeout):
        await gate_of(shared).through(late, MODEL_FAILURES)
    assert shared.calls == 1


async def test_an_outage_beyond_patience_is_given_up_once_and_nobody_fails(shared: Shared) -> None:
    shared.down = ModelUnavailable("dead")
    with shared.scope:
        await all_of(gate_of(shared, patience=0.0), [shared.call] * 40)
        raise AssertionError("a caller got something")
    assert [str(error) for error in shared.given_up] == ["dead"]


async def test_a_key_that_is_not_accepted_ends_it_at_once(shared: Shared) -> None:
    shared.down = ModelDenied("401")
    with shared.scope:
        await all_of(gate_of(shared), [shared.call] * 3)
    assert len(shared.given_up) == 1
    assert shared.checks == 0


async def test_who_fails_while_the_others_are_being_cancelled_says_it_no_second_time(shared: Shared) -> None:
    shared.down = ModelDenied("401")
    gate = gate_of(shared)
    with shared.scope:
        await gate.through(shared.call, MODEL_FAILURES)
    with anyio.move_on_after(0.01) as late:
        await gate.through(shared.call, MODEL_FAILURES)
    assert late.cancelled_caught, "it waits to be cancelled as well"
    assert len(shared.given_up) == len(shared.said) == 1


async def test_other_errors_pass(shared: Shared) -> None:
    shared.down = ZeroDivisionError("oops")
    with pytest.raises(ZeroDivisionError):
        await gate_of(shared).through(shared.call, MODEL_FAILURES)
    assert shared.checks == 0
