"""A batch of small bugs, killed with -9 at random moments and begun again each time, beside one that nobody disturbed.

python benchmarks/killed.py small_bugs.jsonl --count 20 --kills 25

Model answers are recorded once (`--model`, as everywhere) and served from the recording from then on, by a server that
counts every call. Prints whether the predictions are the same, and how many answers were asked for again that a journal
held already: paid twice. Answers that were under way when the process died are counted apart: nobody had them yet.
Options that follow `--` go to `bestpatch batch`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import anyio
from anyio.from_thread import BlockingPortal

# The first import of a sibling takes this folder off the path and puts the examples' folder on it.
from answers import AnswerServer  # isort: skip
from figures import table  # isort: skip
from mutant import mutant  # isort: skip
from recorded import Recording, asker  # isort: skip
from small_bugs import INSTALL, item  # isort: skip
from solving import folder_of, say  # isort: skip

from agent.model.open import open_model
from harness import Settings
from harness.journal import FILE_NAME

ROOT = Path(__file__).parents[1]


@dataclass
class Counts:
    """What all killed runs together did."""

    kills: int = 0
    runs: int = 0
    same: int = 0
    """Runs whose predictions are those of the undisturbed one."""
    calls: int = 0
    twice: int = 0
    """Answers asked for again that a journal held."""
    in_flight: int = 0
    """Answers asked for again that were under way at a kill."""


def instances_of(options: argparse.Namespace, folder: Path) -> Path:
    """The chosen bugs as repositories and a file of instances."""
    rows = [json.loads(line) for line in options.file.read_text("utf-8").splitlines() if line.strip()]
    rows = [row for row in rows if options.split in ("all", row["split"])][: options.count]
    lines: list[str] = []
    for row in rows:
        made = item({**row, "hidden_test_files": {}}, folder / "repositories")
        asked = ["git", "rev-parse", "HEAD"]
        head = subprocess.run(asked, cwd=made.repository, check=True, capture_output=True, text=True)
        environment = {"image": options.image} if options.image else {"install": list(INSTALL)}
        instance = {
            "instance_id": made.name,
            "repo": f"small/{made.name}",
            "base_commit": head.stdout.strip(),
            "problem_statement": made.issue,
            "repo_path": str(made.repository),
            "environment": environment,
        }
        if hidden := row["hidden_test_files"]:  # shown to `bestpatch evaluate` alone
            test_cmd = f"python -m pytest -rA -p no:cacheprovider {' '.join(hidden)}"
            instance["environment"] = {**environment, "test_cmd": test_cmd}
            instance["test_patch"] = "".join(added(path, text) for path, text in hidden.items())
            instance["FAIL_TO_PASS"], instance["PASS_TO_PASS"] = row["FAIL_TO_PASS"], row["PASS_TO_PASS"]
        lines.append(json.dumps(instance) + "\n")
    path = folder / "instances.jsonl"
    path.write_text("".join(lines), "utf-8")
    return path


def added(path: str, text: str) -> str:
    """The patch that adds a file."""
    lines = text.splitlines()
    head = (
        f"diff --git a/{path} b/{path}\nnew file mode 100644\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1,{len(lines)} @@\n"
    )
    return head + "".join(f"+{line}\n" for line in lines)


def start(options: argparse.Namespace, instances: Path, run: Path, url: str) -> subprocess.Popen[bytes]:
    """`bestpatch batch` in a process of its own. Each run has a cache of its own, so that none profits from another."""
    command = [sys.executable, "-m", "harness.cli", "batch", str(instances), "--run", str(run)]
    command += ["--model", f"openai:{options.name}@{url}", "--candidates", str(options.candidates), *options.rest]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "BESTPATCH_CACHE": str(options.cache)}
    log = run.with_suffix(".log").open("ab")
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)


def undisturbed(options: argparse.Namespace, instances: Path, run: Path, url: str) -> float:
    """Seconds of a run from its start to its end."""
    shutil.rmtree(run, ignore_errors=True)
    began = time.monotonic()
    code = start(options, instances, run, url).wait()
    if code:
        sys.exit(f"killed: the run ended with {code}; see {run.with_suffix('.log')}")
    return time.monotonic() - began


def kept(run: Path) -> set[str]:
    """Keys of the requests whose answers the journals of a run hold."""
    found: set[str] = set()
    for path in run.glob(f"tasks/*/{FILE_NAME}"):
        database = sqlite3.connect(path)
        try:
            found |= {str(row[0]) for row in database.execute("SELECT DISTINCT key FROM completions")}
        except sqlite3.OperationalError:
            continue  # killed before it had its tables
        finally:
            database.close()
    return found


def predictions(run: Path) -> bytes:
    return (run / "predictions.jsonl").read_bytes()


def disturbed(
    options: argparse.Namespace, instances: Path, folder: Path, server: AnswerServer, seconds: float, wanted: bytes
) -> Counts:
    """Runs that are killed until there were enough kills; each is begun again until it has ended by itself."""
    dice, counts = random.Random(options.seed), Counts()
    while counts.kills < options.kills:
        run = folder / f"killed-{counts.runs}"
        shutil.rmtree(run, ignore_errors=True)
        server.asked.clear()
        while True:
            known, before = kept(run), len(server.asked)
            seen = {call.key for call in server.asked}
            process = start(options, instances, run, server.url)
            moment = _moment(dice, options, seconds)
            if counts.kills < options.kills and _reached(process, server, before, *moment):
                process.send_signal(signal.SIGKILL)
                counts.kills += 1
            process.wait()  # without a kill: there were enough of them, and the last run goes on to its end
            again = {call.key for call in server.asked[before:]}
            counts.twice += len(again & known)
            counts.in_flight += len((again & seen) - known)
            if process.returncode == 0:
                break
            if process.returncode != -signal.SIGKILL:
                sys.exit(f"killed: a run ended with {process.returncode}; see {run.with_suffix('.log')}")
            say(f"kill {counts.kills}: {len(kept(run))} answers are kept")
        counts.runs += 1
        counts.calls += len(server.asked)
        counts.same += predictions(run) == wanted
    return counts


def _moment(dice: random.Random, options: argparse.Namespace, seconds: float) -> tuple[bool, float]:
    """When to kill: so many seconds after the start, or (mostly) after the first question of this life."""
    if dice.random() < 0.25:
        return False, dice.uniform(0.0, options.startup)
    return True, dice.uniform(0.0, 2.0 * max(1.0, seconds - options.startup) / options.kills)


def _reached(process: subprocess.Popen[bytes], server: AnswerServer, before: int, asked: bool, seconds: float) -> bool:
    """Waits for the moment; False when the process ended before it."""
    while asked and process.poll() is None and len(server.asked) == before:
        time.sleep(0.01)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return True
    return False


async def recorded(options: argparse.Namespace, folder: Path, path: Path, instances: Path) -> None:
    """One run whose answers come from the model itself, and are kept."""
    async with AsyncExitStack() as stack:
        cache = Settings().paths.cache
        own = options.model == "mutant"
        opened = None if own else open_model(options.model, cache=cache, log_dir=folder, say=say)
        model = mutant() if opened is None else await stack.enter_async_context(opened)
        # The server's threads call into this loop, where the model is.
        portal = await stack.enter_async_context(BlockingPortal())
        part = path.with_suffix(".part")  # of a recording that was broken off: it is gone on with
        recording = Recording(part, asker(model, portal))
        with AnswerServer(recording, options.name) as server:
            await anyio.to_thread.run_sync(undisturbed, options, instances, folder / "recording", server.url)
        part.rename(path)
        say(f"{len(recording)} answers are recorded in {path}")


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path, help="small bugs, as small_bugs.py takes them")
    parser.add_argument("--split", default="tuning")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--candidates", type=int, default=4)
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--model", help="who answers when there is no recording yet; `mutant` needs no weights")
    parser.add_argument("--name", default="qwen2.5-coder-1.5b", help="what the recorded model is called: its profile")
    parser.add_argument("--recording", type=Path, help="in the folder unless named")
    parser.add_argument("--seconds", type=float, default=0.1, help="what a recorded answer takes")
    parser.add_argument("--startup", type=float, default=3.0, help="seconds before a process asks its first question")
    parser.add_argument("--image", help="an image that has what the tasks need")
    parser.add_argument("--folder", type=Path, default=Settings().paths.cache / "benchmarks")
    split = arguments.index("--") if "--" in arguments else len(arguments)
    options = parser.parse_args(arguments[:split])
    options.rest = list(arguments[split + 1 :])
    folder = folder_of("killed", options)
    options.cache = folder / "cache"
    instances = instances_of(options, folder)
    path: Path = options.recording or folder / f"answers-{options.count}x{options.candidates}.jsonl"
    if not path.is_file():
        anyio.run(recorded, options, folder, path, instances)
    recording = Recording(path)
    with AnswerServer(recording, options.name, options.seconds) as server:
        seconds = undisturbed(options, instances, folder / "whole", server.url)
        calls, wanted = len(server.asked), predictions(folder / "whole")
        say(f"undisturbed: {seconds:.0f} s, {calls} calls")
        counts = disturbed(options, instances, folder, server, seconds, wanted)
    figures = {
        "tasks": options.count,
        "kills": counts.kills,
        "runs": counts.runs,
        "same predictions": counts.same,
        "calls undisturbed": calls,
        "calls of a killed run": round(counts.calls / counts.runs),
        "paid twice": counts.twice,
        "under way at a kill": counts.in_flight,
        "unknown": recording.unknown,
    }
    print(table(list(figures), [[str(value) for value in figures.values()]]))
    sys.exit(counts.same != counts.runs or counts.twice or recording.unknown)


if __name__ == "__main__":
    main(sys.argv[1:])
