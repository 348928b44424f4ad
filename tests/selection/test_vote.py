from hypothesis import given
from hypothesis import strategies as st

from agent.trajectory import ScriptId
from sandbox.script import Verdict
from selection.base import ClassId
from selection.vote import Standing, margin, standings
from selection.weights import Ballots, script_weights
from tests.selection.test_weights import ballots, table


def ranked(made: Ballots, lengths: dict[ClassId, float] | None = None) -> tuple[Standing, ...]:
    return standings(made, script_weights(made), lengths or {})


def order(made: Ballots, lengths: dict[ClassId, float] | None = None) -> list[str]:
    return [standing.id for standing in ranked(made, lengths)]


def barred(made: Ballots, **classes: str) -> Ballots:
    return Ballots(
        made.sizes, made.verdicts, {ScriptId(s): frozenset(map(ClassId, c.split())) for s, c in classes.items()}
    )


def test_more_votes_win() -> None:
    assert order(table("FPF", "FPP", "PPF")) == ["c1", "c0", "c2"]


def test_only_passing_is_a_vote() -> None:
    assert [standing.votes for standing in ranked(table("BTP", "FFP"))] == [1.0, 0.0, 0.0]


def test_many_alike_outweigh_one_that_pleases_a_script_more() -> None:
    # c0 pleases both scripts, five candidates please two thirds of the weight: dual agreement is 1 x 1 to 5 x 0.67.
    made = table("PF", "PP", "PF", "FP", "FP", sizes=(1, 5))
    assert order(made) == ["c1", "c0"]


def test_votes_tied_the_larger_class_then_the_smaller_diff_then_the_order_wins() -> None:
    assert order(table("PPF", sizes=(1, 2, 1))) == ["c1", "c0", "c2"]
    lengths = {ClassId("c0"): 90, ClassId("c1"): 50, ClassId("c2"): 10}
    assert order(table("PPF"), lengths) == ["c1", "c0", "c2"]
    assert order(table("PPF")) == ["c0", "c1", "c2"]


def test_a_script_has_no_vote_on_its_authors_class() -> None:
    # Each class has one script that passes it alone; c0's is its own.
    made = barred(table("PF", "FP"), s0="c0")
    assert order(made) == ["c1", "c0"]


def test_where_nobody_else_could_vote_the_class_gets_the_mean_of_the_others() -> None:
    made = barred(table("PPF", "PFP"), s0="c0", s1="c0")
    first = {standing.id: standing for standing in ranked(made)}[ClassId("c0")]
    assert (first.voters, first.votes) == (0, 0.5)


def test_without_a_separating_script_votes_show_what_others_scripts_said() -> None:
    assert {standing.votes for standing in ranked(table("PP", "FF", "FF", "FF"))} == {0.25}
    # One class, and nobody but its author has spoken: neither praise nor blame.
    assert ranked(barred(table("P"), s0="c0"))[0].votes == 0.5


def test_margin_leaves_out_classes_that_no_script_can_tell_from_the_leader() -> None:
    made = ranked(table("PPF", "PPF"))
    assert (made[0].twin, made[1].twin, made[2].twin) == ("c0", "c0", "c2")
    assert margin(made) == 1.0
    assert margin(ranked(table("PP"))) == 1.0
    assert margin(ranked(table("PF", "FP"))) == 0.0
    assert margin(ranked(table("FF"))) == 1.0


@given(ballots(), st.randoms())
def test_the_standing_of_a_class_does_not_depend_on_any_order(made: Ballots, rng) -> None:
    scripts, classes = list(made.verdicts), list(made.sizes)
    rng.shuffle(scripts)
    rng.shuffle(classes)
    mixed = Ballots({c: made.sizes[c] for c in classes}, {s: made.verdicts[s] for s in scripts}, made.barred)
    there = {s.id: (s.score, s.voters, s.alike, s.size) for s in ranked(mixed)}
    assert there == {s.id: (s.score, s.voters, s.alike, s.size) for s in ranked(made)}


@given(ballots())
def test_votes_are_shares_and_every_class_stands_once(made: Ballots) -> None:
    standing = ranked(made)
    assert sorted(s.id for s in standing) == sorted(made.sizes)
    assert all(0 <= s.votes <= 1 for s in standing)
    assert [s.score for s in standing] == sorted((s.score for s in standing), reverse=True)
    assert 0 <= margin(standing) <= 1


@given(ballots())
def test_a_script_that_separates_nothing_moves_no_class(made: Ballots) -> None:
    more = {**made.verdicts, ScriptId("idle"): dict.fromkeys(made.sizes, Verdict.FAILED)}
    assert order(Ballots(made.sizes, more, made.barred)) == order(made)


@given(ballots())
def test_the_leader_of_unanimous_votes_wins(made: Ballots) -> None:
    # One class that every script passes, and as large as any other, is never behind one that some script rejects.
    best = next(iter(made.sizes))
    verdicts = {s: {**row, best: Verdict.PASSED} for s, row in made.verdicts.items()}
    sizes = {**made.sizes, best: sum(made.sizes.values())}
    assert order(Ballots(sizes, verdicts))[0] == best
