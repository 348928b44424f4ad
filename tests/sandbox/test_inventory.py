"""Which images are ours, which can go, in which order, and what that frees."""

from __future__ import annotations

from typing import Any

from sandbox.inventory import BUILDING, FAMILY, Inventory, Stored

MB = 1_000_000


def image(name: str, parent: str = "", size: int = 0, tags: list[str] | None = None, **labels: str) -> dict[str, Any]:
    return {
        "Id": name,
        "ParentId": parent,
        "Size": size * MB,
        "RepoTags": tags,
        "RepoDigests": None,
        "Labels": {key.replace("_", "."): value for key, value in labels.items()} or None,
        "Created": 100.0,
    }


def ours(name: str, parent: str, size: int, kind: str, tag: str) -> dict[str, Any]:
    return image(name, parent, size, [f"bestpatch/{tag}"], **{FAMILY: kind, BUILDING: ""})


def step(name: str, parent: str, size: int) -> dict[str, Any]:
    """What a build makes on its way, as older and newer engines list it."""
    return image(name, parent, size, ["<none>:<none>"], **{FAMILY: "base", BUILDING: "1"}) | {
        "RepoDigests": ["<none>@<none>"]
    }


IMAGES = [
    image("pulled", size=500, tags=["python:3.11-slim"]),
    step("p1", "pulled", 540),
    ours("base", "p1", 550, "base", "python:3.11"),
    step("e1", "base", 560),
    ours("one", "e1", 570, "env", "env:1"),
    ours("two", "e1", 600, "env", "env:2"),
    step("failed", "base", 580),
]
USED = {"bestpatch/python:3.11": 1.0, "bestpatch/env:1": 9.0, "bestpatch/env:2": 5.0}


def inventory(*more: dict[str, Any], busy: tuple[str, ...] = ()) -> Inventory:
    return Inventory([*IMAGES, *more], busy, USED.get)


def order(found: Inventory) -> list[tuple[str, int]]:
    """Takes one after the other; gives what goes and the megabytes that frees."""
    taken: list[tuple[str, int]] = []
    while candidates := found.candidates():
        first: Stored = candidates[0]
        taken.append((first.name, first.bytes // MB))
        found.take(first)
    return taken


def test_the_least_recently_used_goes_first_and_what_others_stand_on_last() -> None:
    assert order(inventory()) == [
        ("bestpatch/env:2", 40),  # its step stays: the other environment stands on it
        ("bestpatch/env:1", 20),  # with the step, on which nothing stands any more
        ("failed", 30),  # made at 100, and never used
        ("bestpatch/python:3.11", 50),  # with its step; the pulled image below is not ours
    ]


def test_shared_layers_count_once_and_those_of_others_not() -> None:
    assert inventory().total() == (50 + 20 + 40 + 30) * MB


def test_what_a_container_uses_stays_with_all_below_it() -> None:
    assert order(inventory(busy=("one",))) == [("bestpatch/env:2", 40), ("failed", 30)]
    # A container of a step: the engine keeps the step, and so do we.
    assert order(inventory(busy=("e1",)))[:2] == [("bestpatch/env:2", 40), ("bestpatch/env:1", 10)]


def test_images_of_others_are_no_images_of_ours() -> None:
    others = [
        image("built on ours", "base", 700, ["mine/app:1"], **{FAMILY: "base", BUILDING: ""}),
        image("built on ours, nameless", "base", 700, None, **{FAMILY: "base", BUILDING: ""}),
        image("named as ours and theirs", "", 700, ["bestpatch/x:1", "mine/x:1"], **{FAMILY: "env"}),
        image("named like ours", "", 700, ["bestpatch/y:1"]),
        image("with a label of theirs", "", 700, ["bestpatch/z:1"], **{FAMILY: "no kind that we know"}),
        image("by digest", "", 700, None, **{FAMILY: "env"}) | {"RepoDigests": ["host/x@sha256:1"]},
    ]
    found = inventory(*others)
    assert found.total() == inventory().total()
    assert [name for name, _ in order(found)] == ["bestpatch/env:2", "bestpatch/env:1", "failed"], "they need the base"


def test_an_engine_that_tells_no_parents() -> None:
    """Some list every image alone: then it counts whole, which is too much and never too little."""
    alone = [ours("a", "", 600, "env", "env:1"), ours("b", "", 500, "base", "python:3.11")]
    assert order(Inventory(alone, (), USED.get)) == [("bestpatch/env:1", 600), ("bestpatch/python:3.11", 500)]
