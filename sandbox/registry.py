"""What registries answer when they give no image: how that reads, what to do, and for how long it is remembered."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

REMEMBERED_SECONDS = 3600.0


@dataclass(frozen=True)
class Refusal:
    """Why an image did not come."""

    advice: str
    passing: bool = False
    """Worth another try, soon; and nothing to remember."""


_BUSY = Refusal("The registry is overloaded or limits its answers: try later, or log in with `docker login`", True)
_BROKEN = Refusal("The connection broke: try again", True)
_ABSENT = Refusal("Check the name and tag; a private one needs `docker login`")
_OTHER_MACHINE = Refusal("Name an image that is made for this machine")
_FORGED = Refusal("What came is not what its digest says: do not use this registry or mirror before that is explained")
_NOBODY = Refusal("Check the network and the engine's proxy and registry mirror, or `docker load` the image")

# The engine's own words and those of registries; the first that is found decides.
_SIGNS: tuple[tuple[str, Refusal], ...] = (
    (r"verification failed for digest|unexpected commit digest|failed size validation", _FORGED),
    (r"no matching manifest|does not match the (specified|expected) platform|no match for platform", _OTHER_MACHINE),
    (r"toomanyrequests|too many requests|HTTP 429|HTTP status: (429|5\d\d)|HTTP 5\d\d", _BUSY),
    (r"manifest unknown|name unknown|not found|access denied|unauthorized|HTTP 40[134]|denied:", _ABSENT),
    (r"connection reset|unexpected EOF|broken pipe|TLS handshake timeout", _BROKEN),
)


def read_refusal(text: str) -> Refusal:
    """What the engine's message on a failed pull means."""
    for sign, refusal in _SIGNS:
        if re.search(sign, text, re.IGNORECASE):
            return refusal
    return _NOBODY


class Memory:
    """Refusals of the last hour, in a file: a machine without a registry should not wait for one again and again."""

    def __init__(self, cache: Path) -> None:
        self._path = cache / "registry.json"

    def why(self, name: str) -> str | None:
        try:
            when, why = json.loads(self._path.read_text("utf-8"))[name]
            return str(why) if 0 <= time.time() - float(when) < REMEMBERED_SECONDS else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def note(self, name: str, why: str) -> None:
        try:
            known: object = json.loads(self._path.read_text("utf-8"))
        except (OSError, ValueError):
            known = None
        kept = cast("dict[str, object]", known) if isinstance(known, dict) else {}
        part = self._path.with_name(f"{self._path.name}.{os.getpid()}.part")
        try:
            part.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps({**kept, name: [time.time(), why[:300]]}), "utf-8")
            part.replace(self._path)
        except OSError:
            return  # a home that cannot be written to costs a second try, no more


def exact_name(described: Mapping[str, Any], name: str) -> str:
    """What exactly a name stands for now: `NAME@sha256:...` as the registry has it, else the engine's own id of it."""
    digests = cast("Sequence[str]", described.get("RepoDigests") or ())
    repository = re.sub(r"(@sha256:[0-9a-f]+|:[^:/@]+)+$", "", name)
    for digest in digests:
        if _plain(digest.partition("@")[0]) == _plain(repository):
            return digest
    return f"{name} ({described['Id']})"


def _plain(repository: str) -> str:
    return repository.removeprefix("docker.io/").removeprefix("library/")
