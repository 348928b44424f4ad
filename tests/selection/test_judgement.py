"""Judgements of pairs: what is asked, what an answer counts, and what is left out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import ContextTooLong, ModelUnavailable
from agent.model.base import Completion, Request, Usage
from agent.model.scripted import Rule, ScriptedModel
from agent.prompts.shared import system_message
from sandbox.base import Patch
from selection.base import ClassId
from selection.judgement import agreement, first_better, judged
from selection.pool import PoolJudgement
from tests.selection.fakes import patch_to

ONE, TWO, THREE = ClassId("c1"), ClassId("c2"), ClassId("c3")
PATCHES = {ONE: patch_to(1), TWO: patch_to(2), THREE: patch_to(3)}


async def asked(model: ScriptedModel, patches: dict[ClassId, Patch] | None = None) -> tuple[PoolJudgement, ...]:
    return await judged("demo", "m.py:\nx = 0\n", "x must be 1", patches or PATCHES, model)


def better(request: Request) -> dict[str, float]:
    """A judge that knows: the candidate that makes x 1 is likely better; it leans to A besides."""
    one, two = request.messages[-1].content.split("<candidate-B", 1)
    return {"A": 0.9 if "+x = 1" in one else 0.6 if "+x = 1" not in two else 0.2, "B": 0.1}


async def test_every_pair_is_judged_in_both_orders() -> None:
    found = {(one.first, one.second): one.probability for one in await asked(ScriptedModel([Rule(better)]))}
    assert set(found) == {(a, b) for a in PATCHES for b in PATCHES if a != b}
    assert found[ONE, TWO] == pytest.approx(0.9)
    assert found[TWO, ONE] == pytest.approx(2 / 3)  # 0.2 of 0.3: of the two letters alone
    assert found[TWO, THREE] == found[THREE, TWO] == pytest.approx(6 / 7)


async def test_all_pairs_of_a_task_share_the_prefix_of_its_trajectories() -> None:
    model = ScriptedModel([Rule("A")])
    await asked(model)
    shared = system_message("demo", "m.py:\nx = 0\n", "x must be 1", model.profile)
    assert {request.messages[0].content for request in model.requests} == {shared}
    assert len({request.key for request in model.requests}) == 6
    assert {(request.answers, request.sampling.max_tokens) for request in model.requests} == {(("A", "B"), 1)}


async def test_a_class_alone_is_asked_nothing() -> None:
    model = ScriptedModel([Rule("A")])
    assert await asked(model, {ONE: patch_to(1)}) == ()
    assert model.requests == []


async def test_a_pair_that_does_not_fit_is_left_out() -> None:
    model = ScriptedModel([Rule(ContextTooLong("too long"), trajectory="judgement-c1-c2"), Rule("B")])
    found = await asked(model)
    assert len(found) == 5
    assert {one.probability for one in found} == {0.0}
    assert (ONE, TWO) not in {(one.first, one.second) for one in found}


async def test_a_server_that_is_gone_is_said() -> None:
    with pytest.raises(ModelUnavailable):
        await asked(ScriptedModel([Rule(ModelUnavailable("gone"))]))


@pytest.mark.parametrize(
    ("text", "chances", "probability"),
    [
        ("A", None, 1.0),
        (" B", None, 0.0),
        ("**B**", None, 0.0),
        ("Answer", None, 0.5),  # begins with the letter, and names none
        ("", None, 0.5),
        ("A", {"A": 0.3, "B": 0.1}, 0.75),
        ("The", {"A": 0.0, "B": 0.2}, 0.0),
        ("A", {"A": 0.0, "B": 0.0}, 1.0),  # the server lists neither: the text counts
    ],
)
def test_an_answer_counts(text: str, chances: dict[str, float] | None, probability: float) -> None:
    assert first_better(Completion(text, "length", Usage(), chances)) == pytest.approx(probability)


@given(st.text(), st.none() | st.fixed_dictionaries({"A": st.floats(0, 1), "B": st.floats(0, 1)}))
def test_any_answer_is_a_probability(text: str, chances: dict[str, float] | None) -> None:
    assert 0 <= first_better(Completion(text, "stop", Usage(), chances)) <= 1


def test_orders_agree_where_both_name_the_same_class() -> None:
    def both(first: ClassId, second: ClassId, there: float, back: float) -> tuple[PoolJudgement, PoolJudgement]:
        return (
            PoolJudgement(first=first, second=second, probability=there),
            PoolJudgement(first=second, second=first, probability=back),
        )

    agreed, leaning, even = both(ONE, TWO, 0.7, 0.4), both(ONE, THREE, 0.7, 0.6), both(TWO, THREE, 0.5, 0.2)
    assert agreement((*agreed, *leaning, *even)) == (1, 3)
    assert agreement(agreed[:1]) == (0, 0)
