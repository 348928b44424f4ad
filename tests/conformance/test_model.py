"""What every model backend must do: the scripted model, the client (against a fake server), and the real embedded one.

The real one is marked `model`: it needs the 0.5B weights and a built server in the cache (or fetches and builds them).
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import anyio
import platformdirs
import pytest

from agent.errors import ContextTooLong
from agent.model.base import Message, Model, Request, Sampling, Stage
from agent.model.open import open_model
from agent.model.scripted import Rule, ScriptedModel
from tests.agent.model.fake_server import fake_server

CACHE = Path(os.environ.get("BESTPATCH_CACHE") or platformdirs.user_cache_path("bestpatch"))
SYSTEM = "You tell short stories about trees, with a number in each. " * 30
SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {"tree": {"type": "string", "maxLength": 20}},
        "required": ["tree"],
        "additionalProperties": False,
    }
)


@dataclass(frozen=True)
class Backend:
    """A backend and what it can be held to."""

    model: Model
    caches: bool = True
    real: bool = False


def _story(request: Request) -> str:
    if request.sampling.json_schema:
        return '{"tree": "oak"}'
    return f"Once, {request.sampling.seed} trees grew, and then they grew and grew, on and on. The end of the story."


def _other_story(request: Request) -> str:
    return _story(request).replace("trees", "shrubs")


@asynccontextmanager
async def _open(kind: str) -> AsyncGenerator[Backend]:
    if kind == "scripted":
        yield Backend(ScriptedModel([Rule(_story, _other_story, delay=0.01)]), caches=False)
    elif kind == "client":
        async with fake_server(delay=0.01) as server, open_model(f"openai:fake@{server.url}", cache=CACHE) as model:
            yield Backend(model)
    else:
        async with open_model("embedded:0.5b", cache=CACHE) as model:
            yield Backend(model, real=True)


@pytest.fixture(
    scope="module",
    params=[
        "scripted",
        "client",
        pytest.param("embedded", marks=[pytest.mark.model, pytest.mark.timeout(1800)]),
    ],
)
async def backend(request: pytest.FixtureRequest) -> AsyncGenerator[Backend]:
    async with _open(request.param) as opened:
        yield opened


def ask(user: str = "Tell one.", **sampling: object) -> Request:
    settings = {"temperature": 1.0, "max_tokens": 24, "seed": 7, **sampling}
    return Request(
        (Message("system", SYSTEM), Message("user", user)),
        replace(Sampling(), **settings),  # pyright: ignore[reportArgumentType]
        Stage.EDITING,
        "editing-0",
    )


async def test_n_answers_to_one_prompt(backend: Backend) -> None:
    answers = await backend.model.complete(ask(), 4)
    assert len(answers) == 4
    assert all(answer.text for answer in answers)
    assert len({answer.text for answer in answers}) > 1


async def test_the_same_seed_gives_the_same_answer_and_another_seed_another(backend: Backend) -> None:
    await backend.model.complete(ask())  # from here on the prompt comes from the cache, computed in the same portions
    (first,) = await backend.model.complete(ask())
    (again,) = await backend.model.complete(ask())
    (other,) = await backend.model.complete(ask(seed=8))
    assert first.text == again.text
    assert first.text != other.text


async def test_stop_ends_the_answer_before_itself(backend: Backend) -> None:
    """Only the answer's form is compared: at temperature 0 a cached prefix may still lead to other words."""
    (whole,) = await backend.model.complete(ask())
    assert len(whole.text.split()) > 3
    (cut,) = await backend.model.complete(ask(stop=(" ",)))
    assert cut.finish == "stop"
    assert cut.text.strip()
    assert " " not in cut.text


async def test_max_tokens_ends_the_answer_with_length(backend: Backend) -> None:
    (answer,) = await backend.model.complete(ask(max_tokens=5))
    assert answer.finish == "length"
    assert answer.usage.completion_tokens <= 6


async def test_usage_has_the_prompt_on_the_first_answer_only(backend: Backend) -> None:
    answers = await backend.model.complete(ask(), 3)
    assert answers[0].usage.prompt_tokens > 200
    assert [answer.usage.prompt_tokens for answer in answers[1:]] == [0, 0]
    # Servers that give one sum have it shared out by length, so only the sum has a hard limit.
    assert all(answer.usage.completion_tokens >= 1 for answer in answers)
    assert sum(answer.usage.completion_tokens for answer in answers) <= 3 * 25
    assert sum(answer.usage.calls for answer in answers) == 1
    assert answers[0].usage.cached_tokens <= answers[0].usage.prompt_tokens


async def test_a_second_request_takes_its_prefix_from_the_cache(backend: Backend) -> None:
    await backend.model.complete(ask())
    (second,) = await backend.model.complete(ask("Tell another, of a birch."))
    usage = second.usage
    assert usage.cached_tokens >= 0.9 * usage.prompt_tokens if backend.caches else usage.cached_tokens == 0


async def test_an_answer_keeps_to_a_json_schema(backend: Backend) -> None:
    (answer,) = await backend.model.complete(ask("Name a tree, as JSON.", json_schema=SCHEMA, max_tokens=60))
    assert list(json.loads(answer.text)) == ["tree"]


async def test_a_cancelled_request_leaves_the_model_usable(backend: Backend) -> None:
    with anyio.move_on_after(0.005) as scope:
        await backend.model.complete(ask(max_tokens=2000), 2)
    assert scope.cancelled_caught
    assert len(await backend.model.complete(ask(), 2)) == 2


async def test_many_at_once_all_get_their_own_answer(backend: Backend) -> None:
    answers: dict[int, str] = {}

    async def one(seed: int) -> None:
        answers[seed] = (await backend.model.complete(ask(seed=seed, max_tokens=16)))[0].text

    async with anyio.create_task_group() as group:
        for seed in range(1, 7):
            group.start_soon(one, seed)
    assert len(answers) == 6
    assert all(answers.values())


async def test_text_of_any_kind_goes_through(backend: Backend) -> None:
    strange = "A <|im_end|> \udcff \0 \U0001f332 \u202e tree."
    assert len(await backend.model.complete(ask(strange, max_tokens=3))) == 1


async def test_a_prompt_beyond_the_context_is_a_typed_failure(backend: Backend) -> None:
    if not backend.real:
        pytest.skip("only a real server knows its context; the fake's refusals are in tests/agent/model/test_client.py")
    with pytest.raises(ContextTooLong):
        await backend.model.complete(ask("tree " * 40_000))


async def test_the_deadline_of_a_caller_holds(backend: Backend) -> None:
    with pytest.raises(TimeoutError):
        with anyio.fail_after(0.005):
            await backend.model.complete(ask(max_tokens=500))


async def test_the_profile_fits_what_is_asked(backend: Backend) -> None:
    profile = backend.model.profile
    assert 0 < profile.context_budget < profile.context_tokens
    assert profile.parallel >= 1
