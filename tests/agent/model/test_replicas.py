"""Which server a request goes to, and what becomes of one that fails; servers are fakes with a clock of their own."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import ContextTooLong, ModelDenied, ModelError, ModelReplyInvalid, ModelTimeout, ModelUnavailable
from agent.model.base import Completion, Message, Profile, Request, Sampling, Stage, Usage
from agent.model.profile import profile_for
from agent.model.replicas import PAUSES, Replicas

pytestmark = pytest.mark.anyio


class Server:
    """Answers with its name, once it is let; fails while it has a failure."""

    def __init__(self, name: str, parallel: int = 4) -> None:
        self.name = name
        self.profile: Profile = replace(profile_for("embedded"), parallel=parallel)
        self.failure: ModelError | None = None
        self.ill: ModelError | None = None
        """What it says when it is asked how it is."""
        self.held = anyio.Event()
        self.held.set()
        self.asked: list[str] = []
        self.most = self.busy = 0

    async def complete(self, request: Request, n: int = 1) -> tuple[Completion, ...]:
        self.asked.append(request.trajectory)
        self.busy += n
        self.most = max(self.most, self.busy)
        try:
            await self.held.wait()
            if self.failure is not None:
                raise self.failure
            return tuple(Completion(self.name, "stop", Usage()) for _ in range(n))
        finally:
            self.busy -= n

    async def check(self) -> None:
        if self.ill is not None:
            raise self.ill


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def asked(task: str, trajectory: str = "trajectory-0") -> Request:
    return Request((Message("system", task), Message("user", "go")), Sampling(), Stage.EDITING, trajectory)


async def answered(model: Replicas, task: str, n: int = 1) -> str:
    return (await model.complete(asked(task), n))[0].text


async def test_a_task_stays_with_the_server_that_holds_its_prefix() -> None:
    model = Replicas([Server("a"), Server("b"), Server("c")])
    homes = {task: await answered(model, task) for task in "123456"}
    assert Counter(homes.values()) == {"a": 2, "b": 2, "c": 2}
    assert {task: await answered(model, task) for task in "654321"} == homes


async def test_when_the_home_is_full_others_join_in_and_stay() -> None:
    a, b, c = Server("a", 2), Server("b", 2), Server("c", 2)
    model = Replicas([a, b, c])
    assert await answered(model, "1") == "a"
    a.held = b.held = c.held = anyio.Event()
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(answered, model, "1")
        await anyio.wait_all_tasks_blocked()
        assert (a.busy, b.busy, c.busy) == (2, 1, 0)
        group.start_soon(answered, model, "1")
        await anyio.wait_all_tasks_blocked()
        assert (a.busy, b.busy, c.busy) == (2, 2, 0)  # where it was read already
        for _ in range(3):
            group.start_soon(answered, model, "1")
        await anyio.wait_all_tasks_blocked()
        assert (a.busy, b.busy, c.busy) == (3, 2, 2)  # all are full: it waits at home
        a.held.set()


async def test_one_after_the_other() -> None:
    model = Replicas([Server("a"), Server("b")], routing="round_robin")
    assert [await answered(model, "1") for _ in range(4)] == ["a", "b", "a", "b"]


async def test_the_profile_has_room_for_all_and_the_shortest_context() -> None:
    a, b = Server("a", 4), Server("b", 6)
    b.profile = replace(b.profile, context_tokens=1000)
    profile = Replicas([a, b]).profile
    assert (profile.parallel, profile.context_tokens) == (10, 1000)


@pytest.mark.parametrize("failure", [ModelUnavailable("gone"), ModelTimeout("hangs")])
async def test_a_server_that_is_gone_is_left_out_until_it_answers(failure: ModelError) -> None:
    said: list[str] = []
    clock = Clock()
    a, b = Server("a"), Server("b")
    model = Replicas([a, b], say=said.append, clock=clock)
    assert await answered(model, "1") == "a"
    a.failure = a.ill = failure
    assert [await answered(model, "1") for _ in range(3)] == ["b"] * 3
    assert len(a.asked) == 2
    assert len(said) == 1
    assert "1 of 2 is left out" in said[0]
    for pause in PAUSES:  # asked how it is now and then, and no request waits for it
        clock.now += pause
        assert await answered(model, "1") == "b"
    a.failure = a.ill = None
    clock.now += PAUSES[-1]
    assert await answered(model, "1") == "a"
    assert "answers again" in said[1]


async def test_who_lies_is_left_out_once_others_could_do_better() -> None:
    a, b = Server("a"), Server("b")
    a.failure = ModelReplyInvalid("no chat completion")
    model = Replicas([a, b])
    assert [await answered(model, "1") for _ in range(4)] == ["b"] * 4
    assert len(a.asked) == 2


async def test_who_does_not_know_the_key_is_left_out_at_once() -> None:
    a, b = Server("a"), Server("b")
    a.failure = ModelDenied("wrong key")
    model = Replicas([a, b])
    assert [await answered(model, "1") for _ in range(3)] == ["b"] * 3
    assert len(a.asked) == 1


async def test_a_request_that_nobody_takes_is_its_own_failure() -> None:
    a, b = Server("a"), Server("b")
    a.failure = b.failure = ModelUnavailable("refuses the request")
    model = Replicas([a, b])
    for _ in range(3):
        with pytest.raises(ModelUnavailable, match="refuses"):
            await answered(model, "1")
    a.failure = b.failure = None
    assert await answered(model, "1") == "a"  # neither was left out
    await model.check()


async def test_what_only_the_prompt_is_to_blame_for_goes_nowhere_else() -> None:
    a, b = Server("a"), Server("b")
    a.failure = ContextTooLong("too long")
    with pytest.raises(ContextTooLong):
        await answered(Replicas([a, b]), "1")
    assert b.asked == []


async def test_when_all_are_gone_the_failure_is_told_and_any_that_comes_back_is_enough() -> None:
    a, b = Server("a"), Server("b")
    a.failure = a.ill = b.failure = b.ill = ModelUnavailable("power is out")
    model = Replicas([a, b], clock=Clock())
    with pytest.raises(ModelUnavailable, match="power"):
        await answered(model, "1")
    with pytest.raises(ModelUnavailable, match="power"):
        await model.check()
    b.failure = b.ill = None
    await model.check()
    assert await answered(model, "1") == "b"


async def test_one_that_hangs_when_asked_how_it_is_counts_as_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.model.replicas._PROBE_SECONDS", 0.05)
    a, b = Server("a"), Server("b")
    a.failure = ModelTimeout("no answer")
    a.check = anyio.sleep_forever  # type: ignore[method-assign]
    assert [await answered(Replicas([a, b]), "1")] == ["b"]


@given(st.lists(st.tuples(st.sampled_from("1234"), st.integers(1, 6), st.booleans()), max_size=40), st.integers(1, 4))
async def test_every_request_is_answered_whatever_fails_for_a_while(
    requests: list[tuple[str, int, bool]], count: int
) -> None:
    servers = [Server(str(number)) for number in range(count)]
    model = Replicas(servers)
    for number, (task, n, fails) in enumerate(requests):
        broken = servers[number % count] if fails and count > 1 else None
        if broken is not None:
            broken.failure = broken.ill = ModelUnavailable("for a while")
        assert len(await model.complete(asked(task), n)) == n
        if broken is not None:
            broken.failure = broken.ill = None
    assert all(server.busy == 0 for server in servers)
