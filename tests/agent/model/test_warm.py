"""A long shared prefix is read once, before whoever goes on from it."""

import anyio
import pytest

from agent.errors import ModelTimeout
from agent.model.base import Completion, Message, Profile, Request, Sampling, Stage, Usage
from agent.model.profile import profile_for
from agent.model.warm import LEAST_CHARS, WarmedModel

LONG = "x" * LEAST_CHARS


class CountingModel:
    """Answers everything, slowly enough that others come meanwhile; a fake that keeps what it was asked."""

    def __init__(self, fail_first: bool = False) -> None:
        self.asked: list[tuple[Request, int]] = []
        self.fail_first = fail_first

    @property
    def profile(self) -> Profile:
        return profile_for("embedded:0.5b")

    async def complete(self, request: Request, n: int = 1) -> tuple[Completion, ...]:
        self.asked.append((request, n))
        await anyio.sleep(0.01)
        if self.fail_first and len(self.asked) == 1:
            raise ModelTimeout("too slow")
        return tuple(Completion("ok", "stop", Usage(prompt_tokens=5, calls=1)) for _ in range(n))


def request(system: str, trajectory: str) -> Request:
    return Request((Message("system", system), Message("user", trajectory)), Sampling(), Stage.EDITING, trajectory)


async def together(model: WarmedModel, requests: list[Request]) -> list[Completion]:
    answers: list[Completion] = []

    async def one(asked: Request) -> None:
        answers.extend(await model.complete(asked))

    async with anyio.create_task_group() as group:
        for asked in requests:
            group.start_soon(one, asked)
    return answers


async def test_requests_of_one_prefix_wait_for_one_reading_of_it() -> None:
    inner = CountingModel()
    answers = await together(WarmedModel(inner, 16), [request(LONG, f"trajectory-{i}") for i in range(4)])
    assert [n for _, n in inner.asked] == [16, 1, 1, 1, 1]
    assert inner.asked[0][0].messages[0].content == LONG
    assert inner.asked[0][0].sampling.max_tokens == 1
    # Nothing that was paid for is lost: sixteen answers of the reading, and four.
    assert sum(answer.usage.calls for answer in answers) == 20


async def test_every_prefix_is_read_and_only_once() -> None:
    inner = CountingModel()
    model = WarmedModel(inner, 2)
    for system in (LONG, LONG + "y", LONG):
        await model.complete(request(system, "a"), 3)
    assert [n for _, n in inner.asked] == [2, 3, 2, 3, 3]


@pytest.mark.parametrize("messages", [(Message("system", "short"),), (Message("user", LONG),)])
async def test_what_is_no_long_prefix_is_asked_at_once(messages: tuple[Message, ...]) -> None:
    inner = CountingModel()
    await WarmedModel(inner, 2).complete(Request(messages, Sampling(), Stage.SURVEY, "a"))
    assert len(inner.asked) == 1


async def test_a_reading_that_fails_stops_nobody() -> None:
    inner = CountingModel(fail_first=True)
    assert len(await together(WarmedModel(inner, 2), [request(LONG, "a"), request(LONG, "b")])) == 2
