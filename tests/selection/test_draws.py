import random

from hypothesis import given
from hypothesis import strategies as st

from agent.trajectory import ISSUE, ScriptId
from selection.base import ClassId
from selection.draws import Drawer
from selection.pool import PoolProbe, PoolTask
from tests.selection.pools import pool_tasks, task, whole

A, B = ClassId("a"), ClassId("b")


def test_candidates_come_with_the_scripts_of_their_authors_and_of_the_issue() -> None:
    drawer = Drawer(task("abb", "a", "PF", "PP", "FF", "FP", authors=["t0", "t1", ISSUE, "elsewhere"]))
    draw = drawer.draw([0], [])
    assert [s.id for s in draw.scripts] == ["s2", "s0"]
    assert [s.id for s in drawer.free] == ["s3"]  # its author left no candidate
    assert draw.barred[ScriptId("s0")] == {A}
    assert draw.barred[ScriptId("s2")] == frozenset()


def test_a_candidate_made_with_anothers_script_is_its_own() -> None:
    made = task("ab", "a", "PF", authors=["t0"])
    second = made.candidates[1].model_copy(update={"script": ScriptId("s0")})
    drawer = Drawer(made.model_copy(update={"candidates": (made.candidates[0], second)}))
    draw = drawer.draw([1], [])
    assert [s.id for s in draw.scripts] == ["s0"]
    assert draw.barred[ScriptId("s0")] == {B}


def test_scripts_that_did_not_fail_before_are_kept_apart() -> None:
    draw = whole(task("ab", "a", "PF", "PP", unedited="FP"))
    assert (list(draw.rows), list(draw.unchecked)) == (["s0"], ["s1"])
    assert draw.votes == {A: 1, B: 0}


def test_equal_sources_have_one_ballot_barred_only_from_what_is_everyones_own() -> None:
    made = task("ab", "a", "PF", "PF", authors=["t0", "t1"])
    same = tuple(s.model_copy(update={"digest": "d"}) for s in made.scripts)
    draw = whole(made.model_copy(update={"scripts": same}))
    assert len(draw.ballots.verdicts) == 1
    assert draw.ballots.barred == {ScriptId("s0"): frozenset()}
    assert len(whole(made).ballots.verdicts) == 2


def test_the_fewest_broken_tests_stay() -> None:
    assert whole(task("ab", "a", broken={A: 2, B: 1})).least_broken == {B}
    assert whole(task("ab", "a", broken={A: 1})).least_broken == {B}
    assert whole(task("ab", "a")).least_broken == {A, B}
    assert [s.id for s in whole(task("aab", "a", broken={A: 1})).ranking] == ["b"]


def test_probes_of_scripts_that_were_not_drawn_are_not_known() -> None:
    probes = tuple(PoolProbe(id=origin, origin=origin, outputs={A: "1", B: "2"}) for origin in ("s0", "s1", ISSUE))
    drawer = Drawer(task("ab", "a", "PF", "PF", authors=["t0", "t1"], probes=probes))
    assert [probe.id for probe in drawer.draw([1], []).probes] == ["s1", ISSUE]


@given(pool_tasks(), st.integers(1, 6), st.integers(0, 4), st.integers(0, 9))
def test_a_draw_holds_what_was_picked_and_no_label(made: PoolTask, count: int, scripts: int, seed: int) -> None:
    drawer = Drawer(made)
    picked, free = drawer.sample(random.Random(seed), count, scripts)
    draw, right = drawer.draw(picked, free), drawer.right(picked)
    assert draw.count == len(picked) == min(count, len(made.candidates))
    members = [member for of in draw.classes.values() for member in of]
    assert {m.id for m in members} == {made.candidates[n].id for n in picked if made.candidates[n].class_id}
    assert set(right) == set(draw.classes)
    assert "resolved" not in repr(draw)
    assert {standing.id for standing in draw.ranking} == draw.least_broken
    if drawer.whole(count, scripts):
        assert len(picked) == drawer.size
