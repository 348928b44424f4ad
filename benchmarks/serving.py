"""What the pipeline makes of a model server, beside what the server could do.

    bestpatch serve vllm:MODEL --port 8000 &        # with VLLM_SERVER_DEV_MODE=1, so that its cache can be emptied
    python benchmarks/serving.py pipeline small_bugs.jsonl --url http://127.0.0.1:8000 --model MODEL --count 50
    python benchmarks/serving.py bound --url ... --model ...
    python benchmarks/serving.py hits --url ... --model ...
    python benchmarks/serving.py edits --url ... --beside http://127.0.0.1:8001 --model ...
    python benchmarks/serving.py candidates small_bugs.jsonl --url ... --model ... --count 10

`pipeline` solves small bugs as one batch, with real sandboxes, and records every model call. The others send the
recorded calls again: `bound` all of them at once, each answer as long as it was, to a server with an empty cache;
`edits` the editing turns at temperature 0, to two servers. `hits` compares what the server's cache had with what one
that never forgets would have had. `candidates` compares the wall time of a task with eight candidates and with one. The
key is BESTPATCH_API_KEY.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import anyio

# The first import of a sibling takes this folder off the path and puts the examples' folder on it.
from calls import RecordingModel, Server, bodies, continued, difference, ideal_hits, read_calls, send  # isort: skip
from figures import table  # isort: skip
from killed import instances_of  # isort: skip
from solving import folder_of, say  # isort: skip

from agent.model.base import Stage
from agent.model.open import open_model
from harness import Settings, solve
from harness.batch import BatchSettings, batch
from harness.commands.batch import job_of
from harness.config import backend_settings
from harness.instances import read_instances, task_of
from sandbox.backends import choose_backend

QUERIES, HITS = "vllm:prefix_cache_queries_total", "vllm:prefix_cache_hits_total"


def server_of(options: argparse.Namespace, url: str | None = None) -> Server:
    return Server((url or options.url).rstrip("/"), options.model, os.environ.get("BESTPATCH_API_KEY", ""))


def settings_of(options: argparse.Namespace, candidates: int) -> Settings:
    return Settings(model=f"openai:{options.model}@{options.url}/v1", candidates=candidates)


async def pipeline(options: argparse.Namespace, folder: Path) -> None:
    settings, server = settings_of(options, options.candidates), server_of(options)
    jobs = [job_of(instance, settings) for instance in read_instances(str(instances_of(options, folder)))]
    run = folder / "run"
    shutil.rmtree(run, ignore_errors=True)
    overrides = {"parallel": options.parallel} if options.parallel else {}
    async with open_model(settings.model, cache=settings.paths.cache, say=say, overrides=overrides) as model:
        if not server.forget():
            say("the server cannot empty its prefix cache: what an earlier run left there counts as hits")
        before, began = server.metrics(), time.monotonic()
        recording = RecordingModel(model, options.recording)
        how = BatchSettings(workers=options.workers)
        summary = await batch(jobs, settings, run=run, how=how, model=recording)
        wall, after = time.monotonic() - began, server.metrics()
    calls = read_calls(options.recording)
    written = sum(sum(call.tokens) for call in calls)
    busy = max(call.answered for call in calls) - min(call.asked for call in calls)
    queries, hits = difference(before, after, QUERIES), difference(before, after, HITS)
    figures = {
        "tasks": len(jobs),
        "selected": summary.counts.get("selected", 0),
        "calls": len(calls),
        "output tokens": written,
        "wall s": f"{wall:.1f}",
        "model at work s": f"{busy:.1f}",
        "output tokens/s": f"{written / busy:.0f}",
        "hit rate": f"{hits / queries:.4f}" if queries else "",
        "preempted": f"{difference(before, after, 'vllm:num_preemptions_total'):.0f}",
    }
    kept = {"rate": written / busy, "queries": queries, "hits": hits}
    options.recording.with_suffix(".figures").write_text(json.dumps(kept))
    shown(figures)


def bound(options: argparse.Namespace) -> None:
    server, calls = server_of(options), read_calls(options.recording)
    kept = json.loads(options.recording.with_suffix(".figures").read_text("utf-8"))
    rates: list[float] = []
    for number in range(options.rounds):
        emptied = server.forget()
        sent = send(server, bodies(calls, options.model, exact=True), at_once=len(calls), processes=options.processes)
        rates.append(sent.rate)
        how = "an empty cache" if emptied else "a full cache"
        say(f"round {number + 1}, {how}: {sent.tokens} tokens in {sent.seconds:.1f} s, {sent.rate:.0f}/s")
    best = max(rates)
    shown({"bound tokens/s": f"{best:.0f}", "pipeline": f"{kept['rate']:.0f}", "ratio": f"{kept['rate'] / best:.2f}"})


def hits(options: argparse.Namespace) -> None:
    server, calls = server_of(options), read_calls(options.recording)
    kept = json.loads(options.recording.with_suffix(".figures").read_text("utf-8"))
    ends = continued(calls)
    prompts = server.tokens([call.messages for call in calls])
    whole = dict(zip(ends, server.tokens(list(ends.values())), strict=True))
    total = sum(call.n * len(tokens) for call, tokens in zip(calls, prompts, strict=True))
    ideal = ideal_hits(calls, prompts, whole)
    figures = {
        "prompt tokens": total,
        "server's count": f"{kept['queries']:.0f}",
        "ideal rate": f"{ideal / total:.4f}",
        "rate": f"{kept['hits'] / kept['queries']:.4f}",
        "rate / ideal": f"{kept['hits'] / ideal:.4f}",
    }
    shown(figures)


def edits(options: argparse.Namespace) -> None:
    calls = [call for call in read_calls(options.recording) if call.stage == Stage.EDITING.value][: options.edits]
    rows: list[list[str]] = []
    servers = [server_of(options, url) for url in (options.url, options.beside) if url]
    for at_once in options.at_once:
        rates: list[list[float]] = [[] for _ in servers]
        texts: list[Sequence[Sequence[str]]] = [[] for _ in servers]
        some = calls[: max(8, 2 * at_once)] if at_once < 8 else calls
        for _ in range(options.rounds):  # turn about, so that a slow moment meets both
            for number, server in enumerate(servers):
                sent = send(server, bodies(some, options.model, exact=False), at_once=at_once)
                rates[number].append(sent.rate)
                texts[number] = sent.texts
        medians = [statistics.median(each) for each in rates]
        same = sum(a == b for a, b in zip(texts[0], texts[-1], strict=True)) / len(some)
        ratio = f"{medians[-1] / medians[0]:.2f}" if len(servers) > 1 else ""
        rows.append([str(at_once), str(len(some)), *(f"{rate:.0f}" for rate in medians), ratio, f"{same:.2f}"])
    names = [server.root for server in servers]
    print(table(["at once", "edits", *(f"tokens/s {name}" for name in names), "ratio", "same text"], rows))


async def candidates(options: argparse.Namespace, folder: Path) -> None:
    instances = read_instances(str(instances_of(options, folder)))
    settings = settings_of(options, 1)
    docker, bubblewrap = backend_settings(settings)
    backend = choose_backend(settings.sandbox.backend, docker, bubblewrap, say=say)
    ratios: list[float] = []
    walls: dict[int, list[float]] = {1: [], 8: []}
    async with open_model(settings.model, cache=settings.paths.cache, say=say) as model:
        for number, instance in enumerate(instances):
            for count in (1, 8) if number % 2 else (8, 1):
                mine = settings.model_copy(update={"candidates": count, "seed": number})
                out = folder / "candidates" / f"{instance.instance_id}-{count}"
                shutil.rmtree(out, ignore_errors=True)
                task = task_of(instance, mine, folder=folder)
                result = await solve(task, mine, out=out, model=model, backend=backend)
                walls[count].append(result.wall_seconds)
            ratios.append(walls[8][-1] / walls[1][-1])
    await backend.close()
    figures = {
        "tasks": len(ratios),
        "median s, 1": f"{statistics.median(walls[1]):.2f}",
        "median s, 8": f"{statistics.median(walls[8]):.2f}",
        "median ratio": f"{statistics.median(ratios):.2f}",
    }
    shown(figures)


def shown(figures: dict[str, object]) -> None:
    print(table(list(figures), [[str(value) for value in figures.values()]]), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["pipeline", "bound", "hits", "edits", "candidates"])
    parser.add_argument("file", type=Path, nargs="?", help="small bugs, as small_bugs.py takes them")
    parser.add_argument("--url", required=True, help="the server, without /v1")
    parser.add_argument("--model", required=True, help="what it calls the model")
    parser.add_argument("--beside", help="edits: a second server")
    parser.add_argument("--split", default="tuning")
    parser.add_argument("--count", type=int, default=20, help="tasks")
    parser.add_argument("--candidates", type=int, default=8)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--parallel", type=int, help="answers in flight; the profile's own unless given")
    parser.add_argument("--image", help="an image that has what the tasks need")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=4, help="of the client that sends everything at once")
    parser.add_argument("--edits", type=int, default=128)
    parser.add_argument("--at-once", type=int, nargs="*", default=[1, 8, 32])
    parser.add_argument("--recording", type=Path, help="in the folder unless named")
    parser.add_argument("--folder", type=Path, default=Settings().paths.cache / "benchmarks")
    options = parser.parse_args()
    folder = folder_of("serving", options)
    options.recording = options.recording or folder / "calls.jsonl"
    if options.what in ("pipeline", "candidates"):
        if options.file is None:
            parser.error(f"{options.what} needs a file of small bugs")
        anyio.run(pipeline if options.what == "pipeline" else candidates, options, folder)
    else:
        {"bound": bound, "hits": hits, "edits": edits}[options.what](options)


if __name__ == "__main__":
    sys.exit(main())
