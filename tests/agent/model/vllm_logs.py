"""Logs of vLLM servers that could not start, shaped like real ones: the cause, then long tracebacks of the others."""

from __future__ import annotations

WORKER = "(Worker pid=104) ERROR 11-29 09:35:52 [multiproc_executor.py:953] "
ENGINE = "(EngineCore pid=97) ERROR 11-29 09:36:01 [core.py:1510] "

_RELAYED = (
    "Exception: WorkerProc initialization failed due to an exception in a background process. See stack trace for root "
    "cause."
)
_BEGINNING = """\
(APIServer pid=95) INFO 11-29 09:35:04 [model.py:733] Resolved architecture: Qwen2ForCausalLM
(APIServer pid=95) WARNING 11-29 09:35:04 [system_utils.py:255] Found ulimit of 20000 and failed to automatically \
increase. This can cause fd limit errors like `OSError: [Errno 24] Too many open files`. Consider ulimit -n
(EngineCore pid=97) INFO 11-29 09:35:31 [core.py:133] Initializing a V1 LLM engine with config: model='/models/m'
"""


def _traceback(prefix: str, last: str, depth: int) -> str:
    frames = [
        line
        for number in range(depth)
        for line in (
            f'  File "/venv/lib/python3.11/site-packages/vllm/v1/engine/core.py", line {number}, in __init__',
            "    return func(*args, **kwargs)",
            "           ^^^^^^^^^^^^^^^^^^^^^",
        )
    ]
    lines = ["Traceback (most recent call last):", *frames, *last.splitlines()]
    return "".join(f"{prefix}{line}\n" for line in lines)


def failed_in_worker(cause: str) -> str:
    """A worker fails, the engine core sees that, and the API server sees that: 10,000 characters after the cause."""
    return (
        _BEGINNING
        + f"{WORKER}WorkerProc failed to start.\n"
        + _traceback(WORKER, cause, 20)
        + "(EngineCore pid=97) INFO 11-29 09:35:52 [multiproc_executor.py:479] [shutdown] waiting for worker count=1\n"
        + f"{ENGINE}EngineCore failed to start.\n"
        + _traceback(ENGINE, _RELAYED, 11)
        + "Process EngineCore:\n"
        + _traceback("", _RELAYED, 11)
        + "(APIServer pid=95) INFO 11-29 09:36:13 [utils.py:628] [shutdown] Process manager: send sigterm\n"
        + _traceback(
            "",
            "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}",
            18,
        )
    )


def failed_before_engine(cause: str) -> str:
    """The API server fails by itself."""
    return _BEGINNING + _traceback("", cause, 12)
