"""What a model's files and its name say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.model.facts import Facts, facts_of

QWEN_1B5 = {
    "hidden_size": 1536,
    "num_attention_heads": 12,
    "num_hidden_layers": 28,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32768,
}


def test_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(QWEN_1B5))
    (tmp_path / "model-1.safetensors").write_bytes(b"x" * 1000)
    (tmp_path / "model-2.safetensors").write_bytes(b"x" * 500)
    assert facts_of(str(tmp_path)) == Facts(weights=1500, cell=28_672, heads=12, length=32_768)


def test_a_model_that_also_sees_has_its_figures_one_level_down(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(
        json.dumps({"text_config": {**QWEN_1B5, "architectures": ["Qwen2ForCausalLM"]}})
    )
    assert facts_of(str(tmp_path)).cell == 28_672
    assert not facts_of(str(tmp_path)).architecture


@pytest.mark.parametrize("text", ["", "[1]", "{", '{"num_attention_heads": "many"}'])
def test_a_damaged_configuration_says_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    assert facts_of(str(tmp_path)) == Facts()


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        ("Qwen/Qwen2.5-Coder-32B-Instruct", 64),
        ("Qwen/Qwen2.5-Coder-1.5B-Instruct", 3),
        ("Qwen/Qwen2.5-Coder-32B-Instruct-AWQ", 19.2),
        ("Qwen/Qwen3-Coder-30B-A3B-Instruct-FP8", 30),
        ("some/model", 0),
        ("base-v2", 0),
    ],
)
def test_by_name(name: str, billions: float) -> None:
    assert facts_of(name).weights == pytest.approx(billions * 1e9)


@pytest.mark.parametrize(
    ("name", "architecture"),
    [
        ("Qwen/Qwen2.5-Coder-32B-Instruct", "Qwen2ForCausalLM"),
        ("Qwen/Qwen2.5-Coder-32B-Instruct-AWQ", "Qwen2ForCausalLM"),
        ("Qwen/Qwen2-Math-7B", "Qwen2ForCausalLM"),
        ("Qwen/Qwen2.5-0.5B", "Qwen2ForCausalLM"),
        ("Qwen/Qwen2.5-VL-7B-Instruct", ""),
        ("Qwen/Qwen2-Audio-7B", ""),
        ("Qwen/Qwen3-8B", ""),
        ("Qwen/Qwen2-57B-A14B-Instruct", ""),
        ("some/model", ""),
    ],
)
def test_architecture_by_name(name: str, architecture: str) -> None:
    assert facts_of(name).architecture == architecture


def test_architecture_of_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "Qwen2.5-7B"  # files are believed, not the name
    folder.mkdir()
    for config, architecture in (({"architectures": ["LlamaForCausalLM"]}, "LlamaForCausalLM"), ({"a": 1}, "")):
        (folder / "config.json").write_text(json.dumps(config))
        assert facts_of(str(folder)).architecture == architecture
