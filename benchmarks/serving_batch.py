"""Batches of small bugs on model servers: one, and one after the other on more and more of them. See `serving.py`."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from calls import Call, Recorder, difference, read_calls
from figures import table
from killed import instances_of
from model_servers import HITS, QUERIES, forgotten, metrics, servers_of, settings_of, shown
from solving import say

from harness.batch import BatchSettings, batch
from harness.batch_watch import BatchSilence
from harness.commands.batch import job_of
from harness.instances import read_instances

_SCALING = ("output tokens", "until 75 %: s, tokens/s", "until 95 %: s, tokens/s", "output tokens/s", "hit rate")


async def pipeline(options: argparse.Namespace, folder: Path) -> None:
    shown(await measured(options, folder))


async def scaling(options: argparse.Namespace, folder: Path) -> None:
    """On one, two, four and so on of the servers, and on the one that has all their GPUs."""
    urls = options.url.split(",")
    counts = [2**n for n in range(len(urls).bit_length()) if 2**n <= len(urls)]
    runs = [(n, ",".join(urls[:n]), routing) for n in counts for routing in ("prefix", "round_robin")[:n]]
    rows: list[list[str]] = []
    alone = 0.0
    for gpus, url, routing in [*runs, *([(len(urls), options.beside, "")] if options.beside else [])]:
        one = argparse.Namespace(**{**vars(options), "url": url, "routing": routing or "prefix"})
        figures = await measured(one, folder)
        rate = progress(read_calls(options.recording), 0.75)[1]
        alone = alone or rate
        how = routing or "one server"
        rows.append([str(gpus), how, f"{rate / alone / gpus:.2f}", *(str(figures[name]) for name in _SCALING)])
        say(" ".join(rows[-1]))
    print(table(["GPUs", "routing", "of linear, until 75 %", *_SCALING], rows))


async def measured(options: argparse.Namespace, folder: Path) -> dict[str, int | str]:
    """The figures of one batch; its calls are in the recording."""
    settings, servers = settings_of(options, options.candidates), servers_of(options)
    jobs = [job_of(instance, settings) for instance in read_instances(str(instances_of(options, folder)))]
    run = folder / "run"
    shutil.rmtree(run, ignore_errors=True)
    recorder = Recorder(options.recording)
    recorder.forget()
    forgotten(servers)
    before, began = metrics(servers), time.monotonic()
    how = BatchSettings(workers=options.workers, processes=options.processes)
    summary = await batch(jobs, settings, run=run, how=how, watcher=Words(), around=recorder)
    wall, after = time.monotonic() - began, metrics(servers)
    if summary.stopped is not None:
        sys.exit(f"serving: {summary.stopped.message}")
    calls = read_calls(options.recording)
    if not calls:
        sys.exit(f"serving: no task came to ask the model; {run} says why")
    written = sum(sum(call.tokens) for call in calls)
    busy = max(call.answered for call in calls) - min(call.asked for call in calls)
    queries, hits = difference(before, after, QUERIES), difference(before, after, HITS)
    figures = {
        "processes": len(recorder.files()),
        "tasks": len(jobs),
        "selected": summary.counts.get("selected", 0),
        "calls": len(calls),
        "output tokens": written,
        "wall s": f"{wall:.1f}",
        "model at work s": f"{busy:.1f}",
        "output tokens/s": f"{written / busy:.0f}",
        **{
            f"until {share} %: s, tokens/s": "{:.1f}, {:.0f}".format(*progress(calls, share / 100))
            for share in (75, 95)
        },
        "hit rate": f"{hits / queries:.4f}" if queries else "",
        "preempted": f"{difference(before, after, 'vllm:num_preemptions_total'):.0f}",
    }
    kept = {"rate": written / busy, "queries": queries, "hits": hits}
    options.recording.with_suffix(".figures").write_text(json.dumps(kept))
    return figures


def progress(calls: Sequence[Call], share: float) -> tuple[float, float]:
    """Seconds until that share of all tokens was written, and tokens a second until then: without the last tasks' tail.

    Raises ValueError without a call.
    """
    total, done = sum(sum(call.tokens) for call in calls), 0
    begun = min(call.asked for call in calls)
    for call in sorted(calls, key=lambda call: call.answered):
        done += sum(call.tokens)
        if done >= share * total:
            return call.answered - begun, done / (call.answered - begun)
    raise ValueError("there are no calls")


class Words(BatchSilence):
    """Says what concerns all tasks."""

    def said(self, text: str) -> None:
        say(text)
