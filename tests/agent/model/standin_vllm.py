"""A stand-in for vLLM where there is no GPU: it is found, started, asked, killed and ended like the real one.

    python standin_vllm.py FOLDER

makes a package `vllm` there, whose `serve` answers health, models and completions, and writes down how it was called.
"""

from __future__ import annotations

import sys
from pathlib import Path

GPUS = 2

_TORCH = """
class _About:
    major, minor, name, uuid = 9, 0, "stand-in", "00000000-0000-0000-0000-000000000000"


class cuda:
    device_count = staticmethod(lambda: GPUS)
    mem_get_info = staticmethod(lambda number: (70 << 30, 80 << 30))
    get_device_properties = staticmethod(lambda number: _About)

    @staticmethod
    def init():
        raise RuntimeError("The NVIDIA driver on your system is too old (found version 11040).\\nPlease update it.")
"""

_SERVE = """
import json, os, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

port = int(sys.argv[sys.argv.index("--port") + 1])
here = os.environ["STANDIN_FOLDER"]
with open(os.path.join(here, "calls"), "a") as file:
    file.write(json.dumps({"argv": sys.argv[1:], "gpus": os.environ.get("CUDA_VISIBLE_DEVICES"), "pid": os.getpid()}))
    file.write("\\n")
if os.path.exists(os.path.join(here, "no-memory")):
    sys.exit("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB")


class Handler(BaseHTTPRequestHandler):
    def _send(self, body):
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        self._send({"data": [{"id": sys.argv[2], "max_model_len": 32768}]})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        message = {"content": os.environ.get("CUDA_VISIBLE_DEVICES", "")}
        choices = [{"index": n, "message": message, "finish_reason": "stop"} for n in range(asked.get("n") or 1)]
        self._send({"choices": choices, "usage": {"prompt_tokens": 9, "completion_tokens": 1}})

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


def make(folder: Path, gpus: int = GPUS) -> Path:
    """The folder as an interpreter's path should have it, and an interpreter that has it and sees so many GPUs."""
    for name in ("vllm/entrypoints/cli", "vllm-0.24.0.dist-info"):
        (folder / name).mkdir(parents=True)
    (folder / "torch.py").write_text(f"GPUS = {gpus}\n{_TORCH}")
    (folder / "vllm/entrypoints/cli/main.py").write_text(_SERVE)
    (folder / "vllm-0.24.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: vllm\nVersion: 0.24.0\n")
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nSTANDIN_FOLDER={folder} PYTHONPATH={folder} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return python
