"""A program of its own: serves weights by the xllamacpp wheel until it is ended.

LLAMA_API_KEY=... python xllama_serve.py WHEEL_FOLDER WEIGHTS PORT SLOTS CELLS
"""

import importlib
import os
import sys
import threading
from typing import Any


def main() -> None:
    folder, weights, port, slots, cells = sys.argv[1:6]
    sys.path.insert(0, folder)
    llama: Any = importlib.import_module("xllamacpp")
    cores = len(os.sched_getaffinity(0))
    params = llama.CommonParams()
    params.model.path = weights
    params.hostnames = ["127.0.0.1"]
    params.port = int(port)
    params.api_keys = [os.environ["LLAMA_API_KEY"]]
    params.n_parallel = int(slots)
    params.n_ctx = int(cells)
    params.kv_unified = True
    params.cache_idle_slots = False
    params.n_batch, params.n_ubatch = 2048, 512
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = cores
    params.flash_attn_type = llama.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    params.use_jinja = True
    params.ui = False
    server = llama.Server(params)  # serves from threads of its own as long as it lives
    threading.Event().wait()
    del server


if __name__ == "__main__":
    main()
