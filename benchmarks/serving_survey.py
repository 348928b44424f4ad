"""`serving.py survey`: reading every source file of a folder, beside the engine's own speed on the same prompts."""

from __future__ import annotations

import argparse
import shutil
import statistics
import time
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
from calls import RecordingModel, bodies, read_calls, send
from model_servers import forgotten, servers_of, settings_of, shown
from solving import say

from agent.context.sources import Source
from agent.context.survey import survey
from agent.model.open import open_model
from harness.prices import profile_changes
from harness.progress import Silence
from sandbox.base import RepoPath


async def described(options: argparse.Namespace, folder: Path) -> None:
    """Reads every source file of a folder, as the survey does before the first issue of a repository."""
    files: list[Source] = []
    for path in sorted(options.file.rglob("*.py"))[: options.files]:
        text = path.read_text("utf-8", errors="ignore")
        if text.strip():
            files.append(Source(RepoPath(path.relative_to(options.file).as_posix()), text, test=False))
    servers, settings = servers_of(options), settings_of(options, 1)
    overrides = profile_changes(settings)
    ours: list[float] = []
    engine: list[float] = []
    for number in range(options.rounds):
        cache = folder / f"survey-{number}"
        shutil.rmtree(cache, ignore_errors=True)
        async with open_model(settings.model, cache=settings.paths.cache, say=say, overrides=overrides) as model:
            recording = RecordingModel(model, options.recording)
            forgotten(servers)
            began = time.monotonic()
            found = await survey(files, recording, cache=cache, tokens=10**9, seed=0, recorder=Silence())
            wall = time.monotonic() - began
        calls = [call for call in read_calls(options.recording) if call.turn == 0]
        prompt = sum(call.prompt_tokens for call in calls)
        ours.append(prompt / wall)
        forgotten(servers)
        asked = [{**body, "max_tokens": 1} for body in bodies(calls, options.model, exact=False)]
        sent = await anyio.to_thread.run_sync(
            partial(send, servers[0], asked, at_once=len(asked), processes=options.processes or 4)
        )
        engine.append(prompt / sent.seconds)
        say(f"round {number + 1}: {len(found)} of {len(files)} files, {prompt} prompt tokens in {wall:.1f} s, "
            f"{sum(sum(call.tokens) for call in calls)} written; for one token each {sent.seconds:.1f} s")  # fmt: skip
    medians = statistics.median(ours), statistics.median(engine)
    shown({"files": len(files), "prompt tokens/s": f"{medians[0]:.0f}", "for one token each": f"{medians[1]:.0f}",
           "ratio": f"{medians[0] / medians[1]:.2f}"})  # fmt: skip
