"""The price file: whose table counts, and what is said of a wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.config import Settings
from harness.errors import SettingsError
from harness.prices import profile_changes

FILE = """
["Qwen/Qwen2.5-Coder-32B-Instruct"]
prompt = 0.2
cached = 0.02
completion = 0.6

["vllm:*"]
gpu_hour = 2.5
"""


def changes(path: Path, **settings: object) -> dict[str, object]:
    return profile_changes(Settings.model_validate({"paths": {"prices": path}, **settings}))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "prices.toml"
    path.write_text(FILE)
    return path


@pytest.mark.parametrize(
    "spec", ["openai:Qwen/Qwen2.5-Coder-32B-Instruct@http://h:1/v1", "vllm:Qwen/Qwen2.5-Coder-32B-Instruct"]
)
def test_a_table_is_found_by_the_models_name(path: Path, spec: str) -> None:
    assert changes(path, model=spec)["price"] == {"prompt": 0.2, "cached": 0.02, "completion": 0.6, "gpu_hour": 0.0}


def test_a_pattern_takes_the_others(path: Path) -> None:
    price = changes(path, model="vllm:/models/mine")["price"]
    assert isinstance(price, dict)
    assert price["gpu_hour"] == 2.5
    assert "price" not in changes(path, model="openai:mine@http://h:1/v1")
    assert "price" not in changes(path)


def test_the_settings_own_price_goes_before(path: Path) -> None:
    own = changes(path, model="vllm:a", profile={"price": {"prompt": 9.0}})["price"]
    assert isinstance(own, dict)
    assert own["prompt"] == 9.0
    assert own["gpu_hour"] == 0.0


@pytest.mark.parametrize(
    ("text", "says"), [("[a", "cannot be read"), ('["a"]\nprompts = 1', "prompts"), ('["a"]\nprompt = -1', "a.prompt")]
)
def test_a_wrong_file_is_told(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "p.toml").write_text(text)
    with pytest.raises(SettingsError, match=says):
        changes(tmp_path / "p.toml", model="vllm:a")
    with pytest.raises(SettingsError, match="cannot be read"):
        changes(tmp_path / "none.toml", model="vllm:a")
