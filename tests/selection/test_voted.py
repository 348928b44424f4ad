"""What the votes say of candidates, with an in-memory sandbox."""

from __future__ import annotations

import pytest

from sandbox.base import UNEDITED, Limits
from selection.voted import Voted, vote
from tests.selection.fakes import BAD, FakeSandbox, ListRecorder, candidate, make_script, patch_to

pytestmark = pytest.mark.usefixtures("classes_by_text")
SCRIPTS = [make_script("a", "assert x == 1"), make_script("b", "assert x > 0")]


async def voted(fake: FakeSandbox, *patches: str) -> Voted:
    made = [candidate(str(number), patch) for number, patch in enumerate(patches)]  # pyright: ignore[reportArgumentType]
    return await vote(made, SCRIPTS, fake, fake.files, Limits(), 2, ListRecorder())


async def test_classes_stand_in_the_order_of_votes(fake: FakeSandbox) -> None:
    found = await voted(fake, patch_to(2), patch_to(1), patch_to(1))
    assert [(s.id, s.votes, s.alike) for s in found.standings] == [("c2", 1.0, 2), ("c1", 0.0, 1)]
    assert found.weights[SCRIPTS[0].id] > found.weights[SCRIPTS[1].id] == 0  # the second separates nothing


async def test_what_is_no_patch_stands_nowhere(fake: FakeSandbox) -> None:
    found = await voted(fake, BAD, UNEDITED, patch_to(1))
    assert [s.id for s in found.standings] == ["c2"]
    assert list(found.filled.rejected) == ["c1"]
    assert len(found.classes) == 2


async def test_without_a_candidate_nobody_stands(fake: FakeSandbox) -> None:
    found = await voted(fake, UNEDITED)
    assert (found.classes, found.standings, fake.runs) == ((), (), [])
