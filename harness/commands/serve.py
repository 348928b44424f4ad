"""`bestpatch serve`: the model servers that the other commands would start, until they are ended."""

from __future__ import annotations

import json
import os
import shlex
from functools import partial
from pathlib import Path

import anyio

from agent.model.open import default_spec
from agent.model.spec import Embedded, Vllm, parse_spec
from agent.model.start import Place, Started, started
from harness.commands.common import give, run_until_signal, say
from harness.config import Settings, serving_of
from harness.errors import UsageError
from harness.prices import profile_changes
from harness.run import unwrapped

KEY = "BESTPATCH_API_KEY"
PARALLEL = "BESTPATCH_PROFILE__PARALLEL"
"""A client that is not told takes the profile's usual number, a sixteenth of what a GPU answers at once."""


def serve_command(settings: Settings, *, port: int | None, log_dir: Path | None, as_json: bool) -> None:
    """Serves until a signal. Raises UsageError, ModelError."""
    place = Place(settings.paths.cache, say, log_dir, port=port, key=os.environ.get(KEY))
    run_until_signal(partial(_serve, settings, place, as_json), ending="ending the servers")


async def _serve(settings: Settings, place: Place, as_json: bool) -> None:
    spec = parse_spec(settings.model) if settings.model else await default_spec(say)
    if not isinstance(spec, Embedded | Vllm):
        raise UsageError(f"{settings.model} is served elsewhere or not at all; name vllm:NAME_OR_PATH or embedded")
    changes = profile_changes(settings)
    async with started(spec, place, serving_of(settings), changes) as ready:
        _tell(ready, new_key=place.key is None, as_json=as_json)
        with unwrapped():
            async with anyio.create_task_group() as group:
                for server in ready.servers:
                    group.start_soon(server.watch)


def _tell(ready: Started, *, new_key: bool, as_json: bool) -> None:
    """How the other commands reach it. The key is told where nobody else knows it: to whoever started the server."""
    spec = f"openai:{ready.name}@" + ",".join(f"{server.address}/v1" for server in ready.servers)
    if as_json:
        told = {"model": spec, "parallel": ready.profile.parallel}
        give(json.dumps({**told, **({"key": ready.key} if new_key else {})}))
        return
    say("ready; for other commands, here or in another terminal:")
    if new_key:
        give(f"export {KEY}={ready.key}")
    give(f"export BESTPATCH_MODEL={shlex.quote(spec)}")
    give(f"export {PARALLEL}={ready.profile.parallel}")
    say("Ctrl-C ends it")
