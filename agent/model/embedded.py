"""The embedded model: small weights and llama.cpp's server, fetched and built once, then found in the cache."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from dataclasses import replace
from pathlib import Path

import anyio

from agent.errors import ModelError, ModelUnavailable
from agent.model.llama import build_engine, compiler, find_engine, launch_llama
from agent.model.process import Launch, Say
from agent.model.weights import DEFAULT_SIZE, fetch_weights, weights_for, weights_path, weights_ready
from agent.model.xllama import find_wheel, install_wheel, launch_xllama


def _silent(_: str) -> None:
    """Tells nobody."""


async def ensure_embedded(
    cache: Path, say: Say = _silent, size: str = DEFAULT_SIZE, *, key: str | None = None, port: int | None = None
) -> Launch:
    """Weights and engine in the cache, fetched and built where missing; returns how to start the server.

    Quick when all is there. `key` and `port`: those of the server, chosen unless given.
    Raises ModelUnavailable saying what is missing and how to mend it.
    """
    weights = await fetch_weights(weights_for(size), cache, say)
    key = key or secrets.token_hex(16)
    if compiler() is not None or find_engine(cache) is not None:
        try:
            return replace(launch_llama(await build_engine(cache, weights, say), weights, key), port=port)
        except ModelUnavailable as error:
            say(f"{error}\ntaking the ready-made model server instead, four to six times slower")
    return replace(launch_xllama(await install_wheel(cache, say), weights, key), port=port)


def embedded_status(cache: Path, size: str = DEFAULT_SIZE) -> list[tuple[str, bool, str]]:
    """For `bestpatch doctor`: what the embedded model needs, whether it is there, and how to get it. Starts nothing."""
    weights = weights_for(size)
    there = weights_ready(weights, cache)
    prepare = f"run `{Path(sys.executable).name} -m agent.model.embedded --prepare`, or let the first run do it"
    found = [
        (f"weights {weights_path(weights, cache)}", there, "" if there else f"{prepare} ({weights.size / 1e9:.1f} GB)")
    ]
    if engine := find_engine(cache):
        found.append((f"model server {engine}", True, ""))
    elif wheel := find_wheel(cache):
        found.append((f"model server {wheel} (the slow one)", True, "for the fast one: apt-get install g++ cmake"))
    else:
        mend = (
            f"{prepare} (builds for about five minutes)" if compiler() else "apt-get install g++ cmake, then " + prepare
        )
        found.append(("model server", False, mend))
    return found


def main() -> int:
    """`python -m agent.model.embedded --prepare`: make the embedded model ready, as `make demo` does."""
    parser = argparse.ArgumentParser(description="Prepares the embedded model, or says what it lacks.")
    parser.add_argument("--prepare", action="store_true", help="fetch the weights and build the server")
    parser.add_argument("--size", default=DEFAULT_SIZE, help="which weights: 1.5b or 0.5b")
    parser.add_argument("--cache", type=Path, help="the cache folder (default: the user's, or BESTPATCH_CACHE)")
    arguments = parser.parse_args()
    import platformdirs

    cache: Path = arguments.cache or Path(
        os.environ.get("BESTPATCH_CACHE") or platformdirs.user_cache_path("bestpatch")
    )

    def say(text: str) -> None:
        sys.stderr.write(text + "\n")

    try:
        if arguments.prepare:
            anyio.run(ensure_embedded, cache, say, arguments.size)
        status = embedded_status(cache, arguments.size)
    except ModelError as error:
        say(str(error))
        return 4
    for what, ready, mend in status:
        sys.stdout.write(f"{'ok     ' if ready else 'missing'} {what}{': ' + mend if mend else ''}\n")
    return 0 if all(ready for _, ready, _ in status) else 1


if __name__ == "__main__":
    sys.exit(main())
