"""Model specs: the forms, and errors that show them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.errors import ModelSpecError
from agent.model.spec import FORMS, Embedded, OpenAI, Scripted, Vllm, is_local, parse_spec


def test_the_forms(tmp_path: Path) -> None:
    assert parse_spec("embedded") == Embedded("1.5b")
    assert parse_spec(" embedded:0.5B ") == Embedded("0.5b")
    assert parse_spec("vllm:Qwen/Qwen2.5-Coder-7B-Instruct") == Vllm("Qwen/Qwen2.5-Coder-7B-Instruct")
    assert parse_spec(f"vllm:{tmp_path}") == Vllm(str(tmp_path.resolve()))
    assert parse_spec("openai:gpt-5@https://api.openai.com/v1") == OpenAI("gpt-5", ("https://api.openai.com/v1",))
    assert parse_spec("openai:a@b/c:d@http://localhost:1/v1") == OpenAI("a@b/c:d", ("http://localhost:1/v1",))
    assert parse_spec("scripted:rules.toml") == Scripted(Path("rules.toml"))


@pytest.mark.parametrize("url", ["http://localhost:8000/v1", "http://127.0.0.1/v1", "http://[::1]:80/v1"])
def test_a_local_server_is_known_as_such(url: str) -> None:
    assert is_local(url)


def test_several_servers() -> None:
    assert parse_spec("openai:m@http://a:1/v1,https://b/v1") == OpenAI("m", ("http://a:1/v1", "https://b/v1"))
    assert not is_local("http://a:1/v1")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no kind of model"),
        ("gpt-5", "no kind of model"),
        ("embedded:7b", "there are embedded weights of 1.5b and 0.5b"),
        ("embedded:", "there are embedded weights"),
        ("vllm:", "names no model"),
        ("vllm:/no/such/folder", "there is no /no/such/folder"),
        ("openai:gpt-5", "base URL"),
        ("openai:gpt-5@localhost:8000", "http://"),
        ("openai:@http://localhost:8000/v1", "no model's name"),
        ("openai:m@http://", "no host"),
        ("openai:m@httpx://host/v1", "http://"),
        ("openai:m@http://host:port/v1", "port"),
        ("openai:m@http://a/v1,b/v1", "http://"),
        ("openai:m@http://a/v1,", "http://"),
        ("openai:m@http://a/v1,http://a/v1", "stands twice"),
        ("scripted:", "names no file"),
    ],
)
def test_what_is_wrong_is_said_with_the_forms(text: str, why: str) -> None:
    with pytest.raises(ModelSpecError) as caught:
        parse_spec(text)
    assert why in str(caught.value)
    assert FORMS in str(caught.value)


@pytest.mark.parametrize("url", ["http://me:hunter2@host/v1", "https://me:hunter2@host:badport/v1"])
def test_a_password_in_the_address_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ModelSpecError) as caught:
        parse_spec(f"openai:m@{url}")
    assert "hunter2" not in str(caught.value)


def refusal(text: str) -> str | None:
    """The message when a spec is refused, None when it is read."""
    try:
        parse_spec(text)
    except ModelSpecError as error:
        return str(error)
    return None


@given(st.text())
def test_any_text_is_read_or_refused_briefly(text: str) -> None:
    message = refusal(text)
    assert message is None or (FORMS in message and len(message) < 1_000)


@example("vllm:", "~no-such-user/model")
@example("scripted:", "~no-such-user/rules.json")
@given(st.sampled_from(["openai:", "vllm:", "scripted:", "embedded:", "openai:m@http", "openai:m@https://"]), st.text())
def test_any_text_after_a_known_beginning_is_read_or_refused(start: str, rest: str) -> None:
    message = refusal(start + rest)
    assert message is None or FORMS in message
