"""What the pipeline makes of a model server, beside what the server could do.

    bestpatch serve vllm:MODEL --port 8000 &        # with VLLM_SERVER_DEV_MODE=1, so that its cache can be emptied
    python benchmarks/serving.py pipeline small_bugs.jsonl --url http://127.0.0.1:8000 --model MODEL --count 50
    python benchmarks/serving.py scaling small_bugs.jsonl --url URL,URL --model MODEL
    python benchmarks/serving.py bound --url ... --model ...
    python benchmarks/serving.py hits --url ... --model ...
    python benchmarks/serving.py edits --url ... --beside http://127.0.0.1:8001 --model ...
    python benchmarks/serving.py candidates small_bugs.jsonl --url ... --model ... --count 10
    python benchmarks/serving.py survey FOLDER --url ... --model ...
    python benchmarks/serving.py eight FILE --specs embedded vllm:MODEL

`pipeline` solves small bugs as one batch, with real sandboxes, in so many `--processes` as `bestpatch batch` would
take unless told, and records every model call. `scaling` does so on one, two, four and so on of the servers, with
both ways of routing, and on the one of `--beside` (all GPUs, tensor parallel). `bound` sends the recorded calls
again, all of them at once, each answer as long as it was, to a server with an empty cache; with `--in-flight`, `--busy`
and `--without` as a batch does it, or as it might, to see what costs how much. `edits` sends the editing turns again at
temperature 0, to two servers. `hits` compares what the server's cache had with what one that never
forgets would have had. `candidates` compares the wall time of a task with eight candidates and with one. `survey`
describes all source files of a folder, and sends the same prompts again for one token each. `eight` starts each model
in turn and asks it for eight answers to one prompt of 4,000 tokens. The key is BESTPATCH_API_KEY. Several URLs, with
commas between them, are one model.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import anyio

# The first import of a sibling takes this folder off the path and puts the examples' folder on it.
from calls import bodies, busy, continued, ideal_hits, read_calls, send  # isort: skip
from figures import table  # isort: skip
from killed import instances_of  # isort: skip
from model_servers import forgotten, servers_of, settings_of, shown  # isort: skip
from serving_batch import pipeline, scaling  # isort: skip
from serving_survey import described  # isort: skip
from solving import folder_of, say  # isort: skip

from agent.model.base import Message, Request, Sampling, Stage
from agent.model.open import open_model
from harness import Settings, solve
from harness.config import backend_settings
from harness.instances import read_instances, task_of
from sandbox.backends import choose_backend


def bound(options: argparse.Namespace) -> None:
    (server, *_), calls = servers_of(options), read_calls(options.recording)
    kept = json.loads(options.recording.with_suffix(".figures").read_text("utf-8"))
    rates: list[float] = []
    for number in range(options.rounds):
        emptied = forgotten([server])
        requests = bodies(calls, options.model, exact=True, without=options.without)
        with busy(options.busy):
            sent = send(server, requests, at_once=options.in_flight or len(calls), processes=options.processes or 4)
        rates.append(sent.rate)
        how = "an empty cache" if emptied else "a full cache"
        say(f"round {number + 1}, {how}: {sent.tokens} tokens in {sent.seconds:.1f} s, {sent.rate:.0f}/s")
    best = max(rates)
    shown({"bound tokens/s": f"{best:.0f}", "pipeline": f"{kept['rate']:.0f}", "ratio": f"{kept['rate'] / best:.2f}"})


def hits(options: argparse.Namespace) -> None:
    (server, *_), calls = servers_of(options), read_calls(options.recording)
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
    servers = [servers_of(options, url)[0] for url in (options.url, options.beside) if url]
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


async def eight(options: argparse.Namespace) -> None:
    """Eight answers to one long prompt, from each model, started for it alone; each round another prompt."""
    text = options.file.read_text("utf-8")
    rows: list[list[str]] = []
    for spec in options.specs:
        async with open_model(spec, cache=Settings().paths.cache, say=say) as model:
            seconds: list[float] = []
            rates: list[float] = []
            prompt = 0
            for number in range(options.rounds + 1):
                part = text[number * 1_000 :][: int(4_000 * model.profile.chars_per_token)]
                messages = (
                    Message("system", f"File {number} of a program:\n\n{part}"),
                    Message("user", "Write this file again, every line of it, with better names and comments."),
                )
                sampling = Sampling(0.8, 0.95, options.tokens, number)
                began = time.monotonic()
                answers = await model.complete(Request(messages, sampling, Stage.EDITING, "eight", 0), n=8)
                wall = time.monotonic() - began
                written = sum(answer.usage.completion_tokens for answer in answers)
                prompt = answers[0].usage.prompt_tokens
                say(f"{spec}, round {number}: {prompt} prompt tokens, {written} written in {wall:.1f} s")
                if number:  # the first one warms what is still cold
                    seconds.append(wall)
                    rates.append(written / wall)
            figures = f"{statistics.median(seconds):.1f}", f"{statistics.median(rates):.1f}"
            rows.append([spec.rpartition("/")[2], str(prompt), *figures])
    print(table(["model", "prompt tokens", "median s", "median tokens/s"], rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "what", choices=["pipeline", "scaling", "bound", "hits", "edits", "candidates", "survey", "eight"]
    )
    parser.add_argument("file", type=Path, nargs="?", help="small bugs, as small_bugs.py takes them; a folder; a file")
    parser.add_argument("--url", default="", help="the server, without /v1")
    parser.add_argument("--model", default="", help="what it calls the model")
    parser.add_argument("--beside", help="a second server: edits with another setting, scaling on all GPUs")
    parser.add_argument("--split", default="tuning", help="`all`: both, where nothing is said of the outcomes")
    parser.add_argument("--count", type=int, default=20, help="tasks")
    parser.add_argument("--candidates", type=int, default=8)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--parallel", type=int, help="answers in flight; the profile's own unless given")
    parser.add_argument("--image", help="an image that has what the tasks need")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processes", type=int, help="of the batch; elsewhere of the client that sends all at once: 4")
    parser.add_argument("--routing", choices=["prefix", "round_robin"], default="prefix", help="with several servers")
    parser.add_argument("--edits", type=int, default=128)
    parser.add_argument("--in-flight", type=int, help="bound: requests at once; all unless given")
    parser.add_argument("--busy", type=int, default=0, help="bound: processes that start interpreters meanwhile")
    parser.add_argument("--without", nargs="*", default=[], help="bound: what requests leave out, such as seed, top_p")
    parser.add_argument("--files", type=int, default=600, help="survey: at most so many")
    parser.add_argument("--specs", nargs="*", default=["embedded"], help="eight: models")
    parser.add_argument("--tokens", type=int, default=256, help="eight: of each answer, at most")
    parser.add_argument("--at-once", type=int, nargs="*", default=[1, 8, 32])
    parser.add_argument("--recording", type=Path, help="in the folder unless named")
    parser.add_argument("--folder", type=Path, default=Settings().paths.cache / "benchmarks")
    options = parser.parse_args()
    folder = folder_of("serving", options)
    options.recording = options.recording or folder / "calls.jsonl"
    with_folder = {"pipeline": pipeline, "scaling": scaling, "candidates": candidates, "survey": described}
    if options.file is None and options.what in (*with_folder, "eight"):
        parser.error(f"{options.what} needs a file or a folder")
    if options.what in with_folder:
        anyio.run(with_folder[options.what], options, folder)
    elif options.what == "eight":
        anyio.run(eight, options)
    else:
        {"bound": bound, "hits": hits, "edits": edits}[options.what](options)


if __name__ == "__main__":
    sys.exit(main())
