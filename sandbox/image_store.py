"""Our images in an engine: each made once, held while it is used, and removed when the disk is needed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import ExitStack
from functools import cached_property
from typing import Any

from sandbox.client import Client, Refused, free_bytes
from sandbox.errors import DiskFull, EnvironmentUnavailable, SandboxLost
from sandbox.holds import Hold, Holds
from sandbox.inventory import Inventory, Stored
from sandbox.settings import DockerSettings

Say = Callable[[str], None]

_LOOK_SECONDS = 0.2


class ImageStore:
    """The images of ours in one engine. Every method blocks: call it in a worker thread."""

    def __init__(self, client: Client, settings: DockerSettings, say: Say, cancelled: threading.Event) -> None:
        self.client = client
        self.settings = settings
        self.say = say
        self.cancelled = cancelled

    @cached_property
    def info(self) -> Mapping[str, Any]:
        """What the engine says of itself."""
        return self.client.info()

    @cached_property
    def holds(self) -> Holds:
        # By engine: a home may be shared by machines that each have one.
        identity = "".join(char for char in str(self.info.get("ID") or "engine") if char.isalnum())
        return Holds(self.settings.cache / "images" / identity)

    def free(self) -> int | None:
        """Free bytes of the engine's disk; None when that is not on this machine."""
        return free_bytes(self.info.get("DockerRootDir"))

    # making

    def ensure(self, tag: str, make: Callable[[], None]) -> Hold:
        """Have the image of this name, made once by whoever comes first. Nobody removes it before the hold's end.

        Raises EnvironmentUnavailable, and what `make` raises.
        """
        hold = self._wait(tag, exclusive=False, doing=f"{tag} is being removed")
        try:
            if self.client.image(tag) is None:
                maker = self._wait(f"{tag} (made)", exclusive=True, doing=f"another process is making {tag}")
                try:
                    if self.client.image(tag) is None:
                        make()
                finally:
                    maker.forget()
        except BaseException:
            hold.release()
            raise
        return hold

    def _wait(self, name: str, *, exclusive: bool, doing: str) -> Hold:
        deadline = time.monotonic() + self.settings.build_seconds
        told = False
        while True:
            try:
                hold = self.holds.take(name, exclusive=exclusive)
            except OSError as error:
                raise EnvironmentUnavailable(
                    f"the cache folder {self.settings.cache} cannot be used ({error}); BESTPATCH_CACHE names another"
                ) from error
            if hold is not None:
                return hold
            if not told:
                self.say(f"{doing}; waiting for it")
                told = True
            if self.cancelled.wait(_LOOK_SECONDS):
                raise EnvironmentUnavailable("waiting for an image was interrupted")
            if time.monotonic() > deadline:
                raise EnvironmentUnavailable(
                    f"{doing}, for more than {self.settings.build_seconds:.0f} s; raise sandbox.build_seconds"
                )

    # removing

    def inventory(self, without: Collection[str] = ()) -> Inventory:
        """What there is now, or would be without these containers."""
        containers = [each for each in self.client.containers() if each["Id"] not in without]
        return Inventory(self.client.images(), {str(each["ImageID"]) for each in containers}, self.holds.used)

    def idle(self, before: float, without: Collection[str] = ()) -> list[Stored]:
        """The images that nobody uses now or has used since `before`, in an order in which they can go."""
        inventory = self.inventory(without)
        found: list[Stored] = []
        used: set[str] = set()
        while True:
            stored = next((s for s in inventory.candidates() if s.used <= before and s.id not in used), None)
            if stored is None:
                return found
            holds = self._unused(stored)
            if holds is None:
                used.add(stored.id)
                continue
            _release(holds)
            inventory.take(stored)
            found.append(stored)

    def make_room(self, extra: int = 0) -> None:
        """Remove images of ours, least recently used first, until they are within their budget and the disk has
        `extra` bytes above its floor. Raises DiskFull, with nothing removed, when the floor is out of reach."""
        inventory = self.inventory()
        free = self.free()
        over = inventory.total() - self.settings.image_disk_bytes
        short = 0 if free is None else self.settings.free_disk_bytes + extra - free
        if max(over, short) <= 0:
            return
        with ExitStack() as held:
            chosen = self._choose(inventory, max(over, short), held)
            if short > sum(stored.bytes for stored, _ in chosen):
                check_floor((free or 0) - extra, self.info.get("DockerRootDir"), self.settings)
            why = "the disk is short" if short > 0 else "images take more than sandbox.image_disk_bytes"
            for stored, holds in chosen:
                self.say(f"removing {stored.name}, last used {_date(stored.used)}: {why}")
                self._remove(stored, holds)

    def _choose(self, inventory: Inventory, wanted: int, held: ExitStack) -> list[tuple[Stored, list[Hold]]]:
        """The oldest images that nobody uses: as many as free `wanted` bytes, or all."""
        chosen: list[tuple[Stored, list[Hold]]] = []
        used: set[str] = set()
        while sum(stored.bytes for stored, _ in chosen) < wanted:
            stored = next((each for each in inventory.candidates() if each.id not in used), None)
            if stored is None:
                break
            holds = self._unused(stored)
            if holds is None:
                used.add(stored.id)
                continue
            held.callback(_release, holds)
            inventory.take(stored)
            chosen.append((stored, holds))
        return chosen

    def remove(self, wanted: Iterable[Stored]) -> list[Stored]:
        """Remove those of these images that nobody uses, in this order; gives those that are gone."""
        removed: list[Stored] = []
        for stored in wanted:
            holds = self._unused(stored)
            if holds is not None:
                try:
                    if self._remove(stored, holds):
                        removed.append(stored)
                finally:
                    _release(holds)
        return removed

    def _unused(self, stored: Stored) -> list[Hold] | None:
        """Exclusive holds on an image's names; None when a process uses it, be it between two of its containers."""
        holds: list[Hold] = []
        for name in stored.names:
            hold = self.holds.take(name, exclusive=True)
            if hold is None:
                _release(holds)
                return None
            holds.append(hold)
        return holds

    def _remove(self, stored: Stored, holds: list[Hold]) -> bool:
        try:
            for name in stored.names or (stored.id,):
                self.client.remove_image(name)
        except Refused as refused:
            if refused.status == 409:
                return False  # a container was made of it, or an image on it, in the meantime
            if refused.status != 404:
                raise SandboxLost(str(refused)) from refused
        for hold in holds:
            hold.forget()
        return True


def check_floor(free: int | None, folder: str | None, settings: DockerSettings) -> None:
    """Raises DiskFull when less is free than the floor; nothing when it is not known."""
    if free is not None and free < settings.free_disk_bytes:
        raise DiskFull(
            f"{max(free, 0) / 1e9:.1f} GB free in {folder}; the floor is {settings.free_disk_bytes / 1e9:.1f} GB. "
            "Free some (bestpatch prune, docker system prune) or lower sandbox.free_disk_bytes."
        )


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(seconds))


def _release(holds: Iterable[Hold]) -> None:
    for hold in holds:
        hold.release()
