"""What images of ours an engine holds at one moment, which of them could go, and what disk that would free.

Ours is what carries our label and only names of ours. The label alone says little: images that others build on ours
inherit it. What a build left without a name carries a label that the finished image takes back (see `LABELS`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

FAMILY = "bestpatch"
"""The label of our images, and the folder of their names."""

BUILDING = "bestpatch.building"
"""A label that is 1 on what a build makes on its way, containers and images, and empty on what it was asked for."""

Kind = Literal["env", "project", "base", "cache"]
"""An environment's image, one of a project's own Dockerfile, a base image, what a build left for the next one."""


@dataclass(frozen=True)
class Stored:
    """One of our images."""

    id: str
    names: tuple[str, ...]
    kind: Kind
    used: float
    """When it was last used, or else made; seconds of the epoch."""
    bytes: int
    """What the engine's disk gets back when it goes, as things stand."""

    @property
    def name(self) -> str:
        return self.names[0] if self.names else self.id.removeprefix("sha256:")[:12]


class Inventory:
    """The engine's list of images as a forest: every step of a build is an image on top of its parent."""

    def __init__(
        self, listed: Sequence[Mapping[str, Any]], busy: Collection[str], used: Callable[[str], float | None]
    ) -> None:
        """`busy` are the ids of images that containers use."""
        self._images = {str(image["Id"]): image for image in listed}
        self._kinds: dict[str, Kind] = {
            str(image["Id"]): kind for image in listed if (kind := _kind(image)) is not None
        }
        self._busy = frozenset(busy)
        self._used = used
        self._nameless = {identity for identity, image in self._images.items() if not _named(image)}
        self._below = {identity: str(image.get("ParentId") or "") for identity, image in self._images.items()}
        self._above: dict[str, set[str]] = {}
        for identity, below in self._below.items():
            self._above.setdefault(below, set()).add(identity)

    def total(self) -> int:
        """Bytes that our images take, layers that they share counted once, others' layers below them not."""
        counted: set[str] = set()
        for identity in self._kinds:
            counted.update(self._column(identity))
        return sum(map(self._own, counted))

    def candidates(self) -> list[Stored]:
        """Our images that no container uses and no other image stands on: least recently used first, bases last.

        A base costs more to make anew than what stands on it, and going before it would free nothing.
        """
        found: list[Stored] = []
        for identity, kind in self._kinds.items():
            if identity in self._busy or self._above.get(identity):
                continue
            image = self._images[identity]
            size = sum(map(self._own, self._going(identity)))
            found.append(Stored(identity, names_of(image), kind, self._last_use(image), size))
        return sorted(found, key=lambda stored: (stored.kind == "base", stored.used, stored.name))

    def take(self, stored: Stored) -> None:
        """Count an image as gone, with the nameless ones below it that nothing else stands on."""
        for identity in self._going(stored.id):
            self._above[self._below[identity]].discard(identity)
            self._nameless.discard(identity)
            self._kinds.pop(identity, None)
            del self._images[identity]

    def _last_use(self, image: Mapping[str, Any]) -> float:
        known = [used for name in names_of(image) if (used := self._used(name)) is not None]
        return max(known, default=float(image["Created"]))

    def _column(self, identity: str) -> Iterator[str]:
        """An image and the nameless ones below it."""
        yield identity
        while (identity := self._below[identity]) in self._nameless:
            yield identity

    def _going(self, identity: str) -> list[str]:
        """What the engine deletes together with an image."""
        going: list[str] = []
        for each in self._column(identity):
            if going and (each in self._busy or self._above[each] != {going[-1]}):
                break
            going.append(each)
        return going

    def _own(self, identity: str) -> int:
        below = self._images.get(self._below[identity])
        return max(self._images[identity]["Size"] - (below["Size"] if below is not None else 0), 0)


def names_of(image: Mapping[str, Any]) -> tuple[str, ...]:
    """An image's names with tags; the engine writes `<none>:<none>` for none, or nothing."""
    tags = cast("list[str]", image.get("RepoTags") or [])
    return tuple(tag for tag in tags if not tag.startswith("<none>"))


def _named(image: Mapping[str, Any]) -> bool:
    digests = cast("list[str]", image.get("RepoDigests") or [])
    return bool(names_of(image)) or any(not digest.startswith("<none>") for digest in digests)


def _kind(image: Mapping[str, Any]) -> Kind | None:
    """What an image of ours is; None for others' images."""
    labels = cast("Mapping[str, str]", image.get("Labels") or {})
    if not _named(image):
        return "cache" if labels.get(BUILDING) == "1" else None
    label, names = labels.get(FAMILY, ""), names_of(image)
    if label not in ("env", "project", "base") or not all(name.startswith(f"{FAMILY}/") for name in names):
        return None
    return cast(Kind, label) if names else None
