"""`bestpatch prune`: gives back the disk that images of ours and leftovers of dead processes take; nothing else."""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from harness.commands.common import give, say
from harness.commands.exit import FAILED, Exit
from harness.config import Settings, backend_settings
from harness.errors import UsageError
from harness.units import read_seconds
from sandbox import scratch
from sandbox.bubblewrap import images_folder
from sandbox.client import Client, connect
from sandbox.docker_engine import left_behind
from sandbox.errors import EngineUnavailable, SandboxError
from sandbox.image_store import ImageStore
from sandbox.inventory import Stored
from sandbox.kept import Kept
from sandbox.settings import DockerSettings

OLDER_THAN = "7d"


@dataclass(frozen=True)
class Asked:
    """What the command line said."""

    yes: bool = False
    dry_run: bool = False
    everything: bool = False
    older_than: str | None = None
    json: bool = False


@dataclass(frozen=True)
class Item:
    """One thing that can go. `bytes`: what the disk gets back."""

    what: Literal["container", "image", "build cache", "files"]
    name: str
    bytes: int
    note: str


def prune_command(settings: Settings, asked: Asked) -> None:
    """Raises UsageError, SandboxError, and Exit(4) when something could not be removed."""
    age = _age(asked)
    if asked.json and not (asked.yes or asked.dry_run):
        raise UsageError("--json asks no question; add --yes to remove, or --dry-run to look")
    docker = backend_settings(settings)[0]
    client = _engine(settings, docker)
    failed: list[Item] = []
    try:
        removals = _removals(settings, age)
        if client is not None:
            removals += _of_engine(client, ImageStore(client, docker, say, threading.Event()), age)
        items = [item for item, _ in removals]
        if not asked.json:
            _show(items)
        if asked.dry_run or not removals or not (asked.yes or _agreed()):
            removed: list[Item] = []
        else:
            removed = [item for item, remove in removals if _done(item, remove, failed)]
            if not asked.json:
                give(f"{len(removed)} removed, {size(removed)} freed")
    finally:
        if client is not None:
            client.close()
    if asked.json:
        told = {"found": [asdict(item) for item in items], "removed": [asdict(item) for item in removed]}
        give(json.dumps(told, indent=1))
    if failed:
        raise Exit(FAILED)


def _age(asked: Asked) -> float:
    """Seconds for which an image must not have been used."""
    if asked.everything and asked.older_than is not None:
        raise UsageError("--all and --older-than exclude each other; name one of them")
    if asked.everything:
        return 0.0
    try:
        seconds = read_seconds(asked.older_than or OLDER_THAN)
    except ValueError as error:
        raise UsageError(f"--older-than: {error}") from None
    return float(str(seconds))


Removal = tuple[Item, Callable[[], bool]]


def _engine(settings: Settings, docker: DockerSettings) -> Client | None:
    """The engine; None on a machine with bubblewrap alone. Raises EngineUnavailable where neither has been used."""
    try:
        return connect(docker.url, docker.engine_seconds)
    except EngineUnavailable as error:
        if not images_folder(settings.paths.cache).is_dir():
            raise
        say(f"note: {error}")
        return None


def _removals(settings: Settings, age: float) -> list[Removal]:
    """What can go without an engine, and how."""
    unpacked = Kept(images_folder(settings.paths.cache), threading.Event())
    found: list[Removal] = []
    for folder in unpacked.idle(time.time() - age):
        item = Item("image", f"unpacked {folder.name}", folder.bytes, _last_used(folder.used))
        found.append((item, lambda folder=folder: unpacked.remove(folder.name)))
    for path in scratch.left_behind([Path(tempfile.gettempdir()), settings.paths.cache / "llama"]):
        item = Item("files", str(path), scratch.bytes_of(path), "of a dead process")
        found.append((item, lambda path=path: scratch.remove(path) is None))
    return found


def _of_engine(client: Client, store: ImageStore, age: float) -> list[Removal]:
    """What can go of the engine's, in an order in which it can: images after the dead containers that stand on them."""
    found: list[Removal] = []
    containers = left_behind(client)
    for container in containers:
        item = Item("container", container[:12], client.container_bytes(container), "of a dead run")
        found.append((item, lambda container=container: client.remove(container) is None))
    for stored in store.idle(time.time() - age, without=containers):
        found.append((_image(stored), lambda stored=stored: store.remove([stored]) == [stored]))
    return found


def _image(stored: Stored) -> Item:
    if stored.kind == "cache":
        return Item("build cache", stored.name, stored.bytes, _last_used(stored.used).replace("last used", "made"))
    return Item("image", stored.name, stored.bytes, _last_used(stored.used))


def _last_used(when: float) -> str:
    return f"last used {time.strftime('%Y-%m-%d %H:%M', time.localtime(when))}"


def _show(items: list[Item]) -> None:
    if not items:
        give("nothing to remove")
        return
    width = max(len(item.name) for item in items)
    for item in items:
        give(f"{item.what:11}  {item.name:{width}}  {size([item]):>9}  {item.note}")
    give(f"{len(items)} in all, {size(items)}")


def _agreed() -> bool:
    if not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask on; add --yes to remove, or --dry-run to look")
    sys.stderr.write("remove these? [y/N] ")
    sys.stderr.flush()
    agreed = sys.stdin.readline().strip().lower() in ("y", "yes")
    if not agreed:
        say("nothing was removed")
    return agreed


def _done(item: Item, remove: Callable[[], bool], failed: list[Item]) -> bool:
    """Whether it is gone. It stays when a run has begun to use it, and when removing it `failed`."""
    try:
        if remove():
            return True
        say(f"{item.name} is in use again and stays")
    except (SandboxError, OSError) as error:
        say(f"error: {item.name} cannot be removed: {error}")
        failed.append(item)
    return False


def size(items: list[Item]) -> str:
    """What they take together, for people."""
    total = sum(item.bytes for item in items)
    return f"{total / 1e9:.1f} GB" if total >= 1e9 else f"{total / 1e6:.1f} MB"
