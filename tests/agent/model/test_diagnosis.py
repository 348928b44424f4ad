"""From a server's log to the cause of its end and what to do about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.model.diagnosis import causes_in, diagnosed, mend_for
from tests.agent.model.vllm_logs import failed_before_engine, failed_in_worker

NO_WEIGHTS = "RuntimeError: Cannot find any model weights with `/models/m`"
TOO_LONG = """\
pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig
  Value error, User-specified max_model_len (1000000) is greater than the derived max_model_len (32768.0)
    For further information visit https://errors.pydantic.dev/2.14/v/value_error"""
SMALL_CACHE = (
    "ValueError: To serve at least one request with the model's max seq len (131072), (3.5 GiB KV cache is needed, "
    "which is larger than the available KV cache memory (1.0 GiB). Based on the available memory, the estimated "
    "maximum model length is 37248."
)


def told(log: Path, text: str, what: str = "vllm ended while starting (exit code 1)") -> str:
    log.write_text(text)
    return diagnosed(what, log)


def test_the_cause_far_before_the_end_is_found(tmp_path: Path) -> None:
    text = failed_in_worker(NO_WEIGHTS)
    assert 8_000 < len(text) - text.index(NO_WEIGHTS) < 12_000, "as long as the real one"
    message = told(tmp_path / "log", text)
    assert message.startswith(f"vllm ended while starting (exit code 1): {NO_WEIGHTS}; the weights are missing")
    assert str(tmp_path / "log") in message
    assert "Traceback" not in message


def test_a_cause_of_several_lines(tmp_path: Path) -> None:
    message = told(tmp_path / "log", failed_before_engine(TOO_LONG))
    assert "greater than the derived max_model_len (32768.0); the model was made for a shorter context" in message
    assert "errors.pydantic.dev" not in message


def test_what_the_second_runner_cannot_do(tmp_path: Path) -> None:
    cause = "ValueError: Model Runner V2 does not yet support: custom logits processors"
    assert "set VLLM_USE_V2_MODEL_RUNNER=0" in told(tmp_path / "log", failed_before_engine(cause))


def test_of_several_causes_the_one_with_a_mend(tmp_path: Path) -> None:
    """The other worker has lost this one."""
    text = failed_in_worker("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.")
    text += "(Worker_TP1 pid=7) ERROR 11-29 09:35:53 [core.py:1] RuntimeError: [1] Connection closed by peer\n"
    assert len(causes_in(text)) == 2
    assert "CUDA out of memory" in told(tmp_path / "log", text)


def test_a_cause_that_is_new_is_shown(tmp_path: Path) -> None:
    message = told(tmp_path / "log", failed_in_worker("AssertionError"))
    assert "(exit code 1): AssertionError; its log may say what to do" in message


def test_warnings_that_speak_of_errors_are_no_causes() -> None:
    assert causes_in(failed_in_worker(NO_WEIGHTS)) == [NO_WEIGHTS]
    assert causes_in(failed_before_engine("AssertionError")) == ["AssertionError"]


def test_a_warning_is_no_reason(tmp_path: Path) -> None:
    text = "(APIServer pid=95) WARNING 11-29 09:39:38 [model.py:2660] It is greater than the derived max_model_len\n"
    assert "; its log says why." in told(tmp_path / "log", text)


def test_without_a_traceback_the_end_is_shown(tmp_path: Path) -> None:
    message = told(tmp_path / "log", "gguf_init_from_file: failed\n" + "x\n" * 3_000 + "the end\n")
    assert "weights are missing" in message
    assert message.endswith("the end\n")
    assert len(message) < 3_000


def test_how_it_ended_may_tell_all(tmp_path: Path) -> None:
    text = failed_in_worker(NO_WEIGHTS)
    assert "most likely for memory" in told(tmp_path / "log", text, "vllm died (killed by SIGKILL)")
    assert "it hangs" in told(tmp_path / "log", text, "vllm gave no sign of life for 60 s")


@pytest.mark.parametrize("beyond", [0, 2_000_000])
def test_only_the_end_of_a_long_log_is_searched(tmp_path: Path, beyond: int) -> None:
    message = told(tmp_path / "log", f"{NO_WEIGHTS}\n" + "-" * beyond)
    assert ("weights" in message) == (beyond == 0)


@pytest.mark.parametrize(
    ("log", "mend"),
    [
        ("torch.OutOfMemoryError: CUDA out of memory", "lower serve.memory_share, serve.sequences"),
        ("ValueError: No available memory for the cache blocks", "not enough memory for the cache"),
        (SMALL_CACHE, "lower serve.context_tokens, raise serve.memory_share"),
        (
            "The model's max seq len (9) is larger than the maximum number of tokens that can be stored in KV cache",
            "lower serve.context_tokens",
        ),
        (
            "ValueError: Free memory on device cuda:0 (3.1/79.1 GiB) on startup is less than desired GPU memory "
            "utilization (0.92, 72.8 GiB).",
            "end what else uses it",
        ),
        ("std::bad_alloc", "not enough memory"),
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("huggingface_hub.errors.GatedRepoError: 403 Client Error.", "HF_TOKEN"),
        ("OSError: You are trying to access a gated repo.", "accept its terms"),
        ("huggingface_hub.errors.RepositoryNotFoundError: 401 Client Error.", "model's name"),
        ("huggingface_hub.errors.LocalEntryNotFoundError: outgoing traffic has been disabled", "hub cannot be reached"),
        ("OSError: We couldn't connect to 'https://huggingface.co' to load the files", "hub cannot be reached"),
        ("RuntimeError: The NVIDIA driver on your system is too old (found version 11040)", "update the driver"),
        ("CUDA driver version is insufficient for CUDA runtime version", "update the driver"),
        ("Error 803: system has unsupported display driver / cuda driver combination", "update the driver"),
        ("CUDA error: no kernel image is available for execution on the device", "generation"),
        ("RuntimeError: Failed to infer device type", "install the driver"),
        ("couldn't bind HTTP server socket", "port"),
        ("gguf_init_from_file: failed to open GGUF file", "weights"),
        ("ended while starting (illegal instruction)", "another processor"),
        ("something new", None),
    ],
)
def test_known_failures_have_a_mend(log: str, mend: str | None) -> None:
    found = mend_for(log)
    assert found is None if mend is None else mend in (found or "")
