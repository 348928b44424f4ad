"""The scripted model and its files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.errors import ModelSpecError, ModelTimeout, ModelUnavailable
from agent.model.base import Message, Request, Sampling, Stage
from agent.model.scripted import Rule, ScriptedModel, load_scripted


def ask(
    text: str = "hello", trajectory: str = "editing-0", turn: int = 0, stage: Stage = Stage.EDITING, **more: int
) -> Request:
    return Request((Message("user", text),), Sampling(**more), stage, trajectory, turn)  # pyright: ignore[reportArgumentType]


async def test_the_first_rule_whose_conditions_all_hold_answers() -> None:
    model = ScriptedModel(
        [
            Rule("survey", stage="survey"),
            Rule("later", trajectory="editing-*", turn=1),
            Rule("about eggs", match=r"\begg"),
            Rule("else"),
        ]
    )

    async def text(request: Request) -> str:
        return (await model.complete(request))[0].text

    assert await text(ask(stage=Stage.SURVEY)) == "survey"
    assert await text(ask(turn=1)) == "later"
    assert await text(ask("an egg")) == "about eggs"
    assert await text(ask("a leg")) == "else"
    assert [request.turn for request in model.requests] == [0, 1, 0, 0]


async def test_answers_are_dealt_by_trajectory_and_choice_without_memory() -> None:
    model = ScriptedModel([Rule("a", "b", "c")])
    for _ in range(2):
        assert [c.text for c in await model.complete(ask(trajectory="editing-1"), 4)] == ["b", "c", "a", "b"]
    assert (await model.complete(ask(trajectory="comparison")))[0].text == "a"


async def test_max_tokens_and_stop_cut() -> None:
    model = ScriptedModel([Rule("12345678STOPrest")])
    (cut,) = await model.complete(ask(max_tokens=1))
    assert (cut.text, cut.finish) == ("1234", "length")
    request = Request((Message("user", ""),), Sampling(stop=("STOP",)), Stage.EDITING, "e")
    (stopped,) = await model.complete(request)
    assert (stopped.text, stopped.finish) == ("12345678", "stop")
    assert stopped.usage.completion_tokens == 2


async def test_a_rule_may_fail_on_purpose() -> None:
    with pytest.raises(ModelTimeout):
        await ScriptedModel([Rule(ModelTimeout("late"))]).complete(ask())


async def test_no_rule_says_what_was_asked() -> None:
    with pytest.raises(ModelUnavailable, match=r"stage=editing trajectory=editing-4 turn=2.*unheard-of"):
        await ScriptedModel([Rule("x", turn=0)]).complete(ask("unheard-of", "editing-4", 2))


async def test_a_file_of_rules(tmp_path: Path) -> None:
    toml = tmp_path / "rules.toml"
    toml.write_text('[[rule]]\nstage = "editing"\nmatch = "he.lo"\nanswers = ["from toml"]\n[profile]\nparallel = 3\n')
    model = load_scripted(toml)
    assert (await model.complete(ask()))[0].text == "from toml"
    assert model.profile.parallel == 3
    (tmp_path / "rules.json").write_text(json.dumps({"rule": [{"answers": ["from json"]}]}))
    assert (await load_scripted(tmp_path / "rules.json").complete(ask()))[0].text == "from json"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("rule = 3", "rule"),
        ("[[rule]]\nanswers = []", "answers"),
        ('[[rule]]\nanswers = ["x"]\nstages = "editing"', "stages"),
        ('[[rule]]\nanswers = ["x"]\nstage = "fixing"', "stage"),
        ('[[rule]]\nanswers = ["x"]\nmatch = "("', "cannot be read"),
        ("[[rule", "cannot be read"),
    ],
)
def test_a_bad_file_is_named_with_its_fault(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(text)
    with pytest.raises(ModelSpecError, match=why) as caught:
        load_scripted(path)
    assert str(path) in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelSpecError, match="No such file"):
        load_scripted(tmp_path / "none.toml")


async def test_chances_are_an_answer_whose_text_is_the_likeliest() -> None:
    model = ScriptedModel([Rule({"A": 0.2, "B": 0.7}, turn=0), Rule(lambda request: {"A": 1.0})])
    (answer,) = await model.complete(ask())
    assert (answer.text, answer.chances) == ("B", {"A": 0.2, "B": 0.7})
    (answer,) = await model.complete(ask(turn=1))
    assert (answer.text, answer.chances) == ("A", {"A": 1.0})
