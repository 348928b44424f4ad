"""Profiles by name, and the user's changes to them."""

from __future__ import annotations

import pytest

from agent.errors import ModelSpecError
from agent.model.base import Price
from agent.model.profile import overridden, profile_for


@pytest.mark.parametrize(
    "name",
    [
        "embedded:1.5b",
        "embedded:0.5b",
        "Qwen/Qwen2.5-Coder-1.5B-Instruct",
        "/models/qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        "qwen2.5-coder:1.5b",
    ],
)
def test_small_coders_rewrite_symbols_and_assert(name: str) -> None:
    profile = profile_for(name)
    assert (profile.edit_format, profile.script_style) == ("symbol", "asserts")
    assert profile.context_budget == 3_000
    assert profile.context_tokens == 32_768
    assert profile.name == name


@pytest.mark.parametrize(
    "name",
    ["Qwen/Qwen2.5-Coder-32B-Instruct", "Qwen3-Coder-30B-A3B-Instruct", "devstral-small", "gpt-5", "deepseek-v3"],
)
def test_large_models_search_and_replace_and_exit(name: str) -> None:
    profile = profile_for(name)
    assert (profile.edit_format, profile.script_style) == ("search_replace", "exit_codes")
    assert profile.context_budget == 60_000


def test_an_unknown_model_gets_the_cautious_profile() -> None:
    profile = profile_for("my-finetune")
    assert profile.context_budget == 16_000
    assert profile.script_style == "asserts"


def test_the_user_may_change_every_field() -> None:
    profile = profile_for("my-finetune", {"edit_format": "symbol", "price": {"prompt": 0.5}, "parallel": 2})
    assert profile.edit_format == "symbol"
    assert profile.price == Price(prompt=0.5)
    assert profile.parallel == 2


@pytest.mark.parametrize(
    ("changes", "why"),
    [({"temprature": 1}, "temprature"), ({"edit_format": "diff"}, "edit_format"), ({"parallel": "many"}, "parallel")],
)
def test_a_wrong_change_is_named(changes: dict[str, object], why: str) -> None:
    with pytest.raises(ModelSpecError, match=why):
        overridden(profile_for("x"), changes)
