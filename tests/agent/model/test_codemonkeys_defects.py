"""Where CodeMonkeys' calls of models break, ours hold (arXiv 2501.14723, its code of 2025-01-28)."""

from __future__ import annotations

import anyio
import pytest

from agent.errors import ContextTooLong
from tests.agent.model.fake_server import Hang, Status, fake_server
from tests.agent.model.test_client import ask, client
from tests.waiting import until


async def test_a_prompt_that_the_server_finds_too_long_is_typed_not_a_crash_of_the_worker() -> None:
    """There, its own count by another model's tokenizer decides, and a refusal by the server is not mapped."""
    refusal = Status(400, "prompt is too long: 210000 tokens > 200000 maximum")
    async with fake_server(moves=[refusal]) as server, client(server) as model:
        with pytest.raises(ContextTooLong):
            await model.complete(ask())


async def test_samples_of_one_prompt_are_one_request() -> None:
    """There, every sample is a request of its own, and a lock lets the first one warm the cache."""
    async with fake_server() as server, client(server) as model:
        assert len(await model.complete(ask(), 8)) == 8
        assert len(server.bodies) == 1


async def test_one_call_that_hangs_holds_up_no_other() -> None:
    """There, results are awaited in the order in which they were asked for."""
    async with fake_server(moves=[Hang()]) as server, client(server) as model:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(model.complete, ask(1))
                await until(lambda: len(server.bodies) == 1)
                with anyio.fail_after(30):
                    assert len(await model.complete(ask(2))) == 1
                scope.cancel()
