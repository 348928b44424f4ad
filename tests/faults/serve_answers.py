"""A model server in a process of its own, to be killed: python -m tests.faults.serve_answers PORT SECONDS"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from answers import AnswerServer

from tests.faults.drive_batch import MODEL, answer

if __name__ == "__main__":
    with AnswerServer(answer, MODEL, float(sys.argv[2]), port=int(sys.argv[1])) as server:
        print(server.url, flush=True)
        while True:
            time.sleep(3600)
