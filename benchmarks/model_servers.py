"""The model servers that a benchmark of serving is given, and what they count."""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Sequence

from calls import Server
from figures import table
from solving import say

from harness import Settings
from harness.config import ProfileSettings, SelectionSettings, ServeSettings

QUERIES, HITS = "vllm:prefix_cache_queries_total", "vllm:prefix_cache_hits_total"


def servers_of(options: argparse.Namespace, urls: str | None = None) -> list[Server]:
    key = os.environ.get("BESTPATCH_API_KEY", "")
    return [Server(url.rstrip("/"), options.model, key) for url in (urls or options.url).split(",")]


def settings_of(options: argparse.Namespace, candidates: int) -> Settings:
    urls = ",".join(f"{server.root}/v1" for server in servers_of(options))
    return Settings(
        model=f"openai:{options.model}@{urls}",
        candidates=candidates,
        profile=ProfileSettings(parallel=options.parallel),
        serve=ServeSettings(routing=options.routing),
        selection=SelectionSettings(risk=0.0),  # a measure makes all the candidates that it names
    )


def metrics(servers: Sequence[Server]) -> Counter[str]:
    """The counters of all servers together."""
    found: Counter[str] = Counter()
    for server in servers:
        found.update(server.metrics())
    return found


def forgotten(servers: Sequence[Server]) -> bool:
    """Empties the prefix caches. Says where that is not possible."""
    done = [server.forget() for server in servers]
    if not all(done):
        say("the server cannot empty its prefix cache: what an earlier run left there counts as hits")
    return all(done)


def shown(figures: dict[str, object]) -> None:
    print(table(list(figures), [[str(value) for value in figures.values()]]), flush=True)
