"""The host's end of a place, against a scripted wire: answers in pieces, places that die, hang or lie."""

from __future__ import annotations

import json
import os
import struct
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.base import UNEDITED, Ended, Limit, Limits, Patch
from sandbox.errors import SandboxLost, SandboxTimeout, WorkspaceError
from sandbox.inside.frames import Output
from sandbox.output import Ring
from sandbox.place import FileChange, Place, Room

HELLO = {"python": "/usr/bin/python3", "machine": "x86_64", "uid": 7, "gid": 8}
RUN = {"why": "ended", "code": 0, "seconds": 0.5, "written": 2, "head": 1, "reached": []}
ROOM = Room("/testbed", "/home/x", 1 << 20, 100)
LIMITS = Limits(seconds=0.2)
PATCH = Patch("a patch")
CHANGES = [FileChange("a.py", None, b"x")]


def frame(head: dict[str, Any], data: bytes = b"") -> bytes:
    text = json.dumps(head).encode()
    return struct.pack(">II", len(text), len(data)) + text + data


class ScriptedWire:
    """Gives what it was made with, piece by piece; then nothing, or the end."""

    def __init__(self, *pieces: bytes, ends: bool = False) -> None:
        self.pieces = list(pieces)
        self.ends = ends
        self.sent: list[dict[str, Any]] = []
        self.limits: list[Limits] = []
        self.ended = False

    def send(self, data: bytes) -> None:
        while data:
            text, rest = struct.unpack(">II", data[:8])
            self.sent.append(json.loads(data[8 : 8 + text]))
            data = data[8 + text + rest :]

    def receive(self, seconds: float) -> bytes | None:
        if self.pieces:
            return self.pieces.pop(0)
        return b"" if self.ends else None

    def limit(self, limits: Limits) -> None:
        self.limits.append(limits)

    def rlimits(self, limits: Limits) -> Mapping[str, int]:
        return {}

    def end(self) -> None:
        self.ended = True

    def last_words(self) -> str:
        return "the reason why"


def place_of(*answers: bytes, ends: bool = False) -> tuple[Place, ScriptedWire]:
    wire = ScriptedWire(frame(HELLO), *answers, ends=ends)
    return Place(wire, LIMITS), wire


def run(place: Place, limits: Limits = LIMITS) -> Any:
    return place.run(["true"], "/", {}, limits, threading.Event())


def test_answers_come_in_any_pieces() -> None:
    whole = frame({}) + frame({}) + frame(RUN, b"ab")
    place, wire = place_of(*(whole[at : at + 3] for at in range(0, len(whole), 3)))
    place.open(ROOM)
    place.apply(PATCH, CHANGES, ROOM)
    raw = run(place)
    assert (raw.ended, raw.exit_code, raw.output.text(), raw.seconds) == (Ended.EXITED, 0, "ab", 0.5)
    assert [sent["op"] for sent in wire.sent] == ["open", "files", "run"]


def used(*answers: dict[str, Any]) -> tuple[Place, ScriptedWire]:
    """A place that has run a command on the tree with the patch and was asked to renew its workspace."""
    given = [frame({}), frame({}), frame(RUN, b"ab"), *map(frame, answers), frame(RUN, b"ab")]
    place, wire = place_of(*given)
    place.open(ROOM)
    place.apply(PATCH, CHANGES, ROOM)
    run(place)
    place.renew()
    return place, wire


def test_a_workspace_that_was_kept_has_the_patch_already() -> None:
    place, wire = used({"kept": True})
    place.apply(PATCH, CHANGES, ROOM)
    run(place)
    assert [sent["op"] for sent in wire.sent] == ["open", "files", "run", "renew", "run"]
    assert place.patch == PATCH


def test_a_workspace_that_was_made_anew_gets_the_patch_again() -> None:
    place, wire = used({}, {})
    place.apply(PATCH, CHANGES, ROOM)
    run(place)
    assert [sent["op"] for sent in wire.sent] == ["open", "files", "run", "renew", "files", "run"]
    assert place.patch == PATCH


@pytest.mark.parametrize("renewed", [{}, {"kept": True}])
def test_another_tree_is_never_made_from_a_kept_one(renewed: dict[str, Any]) -> None:
    place, wire = used(renewed, {"closed": True}, {})
    place.apply(UNEDITED, (), ROOM)
    run(place)
    assert [sent["op"] for sent in wire.sent][3:6] == ["renew", "close", "open"]
    assert place.patch == UNEDITED


def test_an_answer_that_comes_late_does_not_hide_a_later_patch() -> None:
    place, _ = place_of(frame({}), frame(RUN, b"ab"), frame({}), frame({}), frame(RUN, b"ab"))
    place.open(ROOM)
    run(place)
    place.renew()
    place.apply(PATCH, CHANGES, ROOM)
    run(place)
    assert place.patch == PATCH


@pytest.mark.parametrize(
    ("answer", "ended", "code", "reached"),
    [
        ({"code": 3, "reached": ["processes"]}, Ended.EXITED, 3, {Limit.PROCESSES}),
        ({"code": 137, "reached": ["memory"]}, Ended.OUT_OF_MEMORY, None, {Limit.MEMORY}),
        ({"code": None, "reached": ["memory"]}, Ended.OUT_OF_MEMORY, None, {Limit.MEMORY}),  # init was killed for it
        ({"code": 137}, Ended.EXITED, 137, set[Limit]()),
        ({"code": 0, "reached": ["memory"]}, Ended.EXITED, 0, {Limit.MEMORY}),
        ({"why": "timed out", "code": None, "reached": ["disk"]}, Ended.TIMED_OUT, None, {Limit.TIME, Limit.DISK}),
    ],
)
def test_how_an_execution_ended(answer: dict[str, Any], ended: Ended, code: int | None, reached: set[Limit]) -> None:
    place, _ = place_of(frame({}), frame({**RUN, **answer}, b"ab"))
    place.open(ROOM)
    raw = run(place)
    assert (raw.ended, raw.exit_code, set(raw.reached)) == (ended, code, reached)


def test_a_workspace_that_could_not_be_made_is_lost_with_the_reason() -> None:
    place, _ = place_of(frame({"error": "OSError: no overlays here"}), frame({"closed": False}))
    place.open(ROOM)
    with pytest.raises(SandboxLost, match="no overlays here: the reason why"):
        run(place)
    assert place.broken
    with pytest.raises(SandboxLost):
        place.write("/x", b"")


def test_row_02_a_keeper_killed_for_memory_is_an_end_of_the_execution_and_of_its_workspace() -> None:
    place, _ = place_of(frame({}), frame({"closed": False, "memory": True}))
    place.open(ROOM)
    raw = run(place)
    assert (raw.ended, raw.exit_code, raw.reached) == (Ended.OUT_OF_MEMORY, None, {Limit.MEMORY})
    assert place.broken


def test_a_keeper_that_died_otherwise_is_lost() -> None:
    place, _ = place_of(frame({}), frame({"closed": False, "memory": False}))
    place.open(ROOM)
    with pytest.raises(SandboxLost, match="could not be started"):
        run(place)


def test_a_place_that_ends_is_lost() -> None:
    place, _ = place_of(frame({}), ends=True)
    place.open(ROOM)
    with pytest.raises(SandboxLost, match="came to its end: the reason why"):
        run(place)
    assert place.broken


def test_a_place_that_hangs_past_the_deadline_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandbox.place._GRACE_SECONDS", 0.1)
    place, _ = place_of(frame({}))
    place.open(ROOM)
    with pytest.raises(SandboxTimeout):
        run(place)
    assert place.broken


def test_cancelling_stops_the_execution_and_keeps_the_place() -> None:
    place, wire = place_of(frame({}))
    place.open(ROOM)
    cancelled = threading.Event()
    cancelled.set()
    wire.receive = answering(wire, frame({}), frame({**RUN, "why": "stopped", "code": None}, b"ab"))  # type: ignore[method-assign]
    with pytest.raises(SandboxLost, match="closed while a command ran"):
        place.run(["sleep", "9"], "/", {}, Limits(seconds=30), cancelled)
    assert [sent["op"] for sent in wire.sent] == ["open", "run", "stop"]
    assert not place.broken


def answering(wire: ScriptedWire, opened: bytes, stopped: bytes) -> Any:
    """Answers `open` at once, and the run only when it was told to stop."""
    wanted = [opened]

    def receive(seconds: float) -> bytes | None:
        if wire.sent[-1]["op"] == "stop":
            wanted.append(stopped)
        return wanted.pop(0) if wanted else None

    return receive


def test_errors_of_files_carry_their_text() -> None:
    place, _ = place_of(frame({}), frame({"error": "Is a directory", "errno": 21}), frame({}, b"content"))
    place.open(ROOM)
    with pytest.raises(WorkspaceError, match="Is a directory"):
        place.write("/src", b"")
    assert place.read("/file", 100) == b"content"


def test_other_limits_are_set_once() -> None:
    place, wire = place_of(frame({}), frame(RUN, b"ab"), frame(RUN, b"ab"), frame(RUN, b"ab"))
    place.open(ROOM)
    more = Limits(seconds=0.2, memory_bytes=1 << 30)
    for limits in (LIMITS, more, more):
        run(place, limits)
    assert wire.limits == [more]


@given(pieces=st.lists(st.binary(max_size=40), max_size=12), limit=st.integers(2, 60))
def test_the_ends_of_an_output_are_those_that_the_host_keeps(pieces: Sequence[bytes], limit: int) -> None:
    inside, outside = Output(limit), Ring(limit)
    reader, writer = os.pipe()
    try:
        for piece in filter(None, pieces):
            os.write(writer, piece)
            assert inside.take(reader)
            outside.write(piece)
    finally:
        os.close(reader)
        os.close(writer)
    carried = Ring.of(bytes(inside.head), inside.end(), inside.written, limit)
    assert (carried.ends(), carried.written, carried.text()) == (outside.ends(), outside.written, outside.text())
