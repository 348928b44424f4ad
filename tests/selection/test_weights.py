from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.trajectory import ISSUE, ScriptId
from sandbox.script import Verdict
from selection.base import ClassId, VoteMatrix
from selection.errors import VotesIncomplete
from selection.execute import not_run
from selection.weights import FLOOR, Ballots, ballots_of, is_own, script_weights
from tests.selection.fakes import candidate, make_script, patch_class, patch_to

P, F = Verdict.PASSED, Verdict.FAILED


def table(*rows: str, sizes: tuple[int, ...] = ()) -> Ballots:
    """Rows of P, F, B (broken), T (timed out), one letter a class."""
    letters = {"P": P, "F": F, "B": Verdict.BROKEN, "T": Verdict.TIMED_OUT}
    classes = [ClassId(f"c{number}") for number in range(len(rows[0]))]
    return Ballots(
        dict(zip(classes, sizes or (1,) * len(classes), strict=True)),
        {
            ScriptId(f"s{number}"): dict(zip(classes, (letters[v] for v in row), strict=True))
            for number, row in enumerate(rows)
        },
    )


@st.composite
def ballots(draw: st.DrawFn) -> Ballots:
    width = draw(st.integers(1, 5))
    rows = draw(st.lists(st.text("PFBT", min_size=width, max_size=width), min_size=1, max_size=6))
    made = table(*rows, sizes=tuple(draw(st.lists(st.integers(1, 4), min_size=width, max_size=width))))
    classes = list(made.sizes)
    barred = {s: frozenset(draw(st.lists(st.sampled_from(classes), max_size=width))) for s in made.verdicts}
    return Ballots(made.sizes, made.verdicts, barred)


def test_a_script_that_separates_nothing_weighs_nothing() -> None:
    weights = script_weights(table("PPP", "FFF", "FBT", "PFF"))
    assert [weights[s] for s in ("s0", "s1", "s2")] == [0, 0, 0]
    assert weights["s3"] > 0


def test_a_script_against_all_others_weighs_the_floor() -> None:
    weights = script_weights(table("PF", "PF", "PF", "FP"))
    assert weights == {"s0": 1.0, "s1": 1.0, "s2": 1.0, "s3": FLOOR}


def test_a_single_separating_script_has_half_agreement_and_the_floor() -> None:
    assert script_weights(table("PF", "PP")) == {"s0": FLOOR, "s1": 0.0}


def test_the_formula_on_a_worked_example() -> None:
    # For s0 the others pass c0 twice, c1 once, c2 never, of two: pairs (c0, c1) and (c0, c2) both agree.
    assert script_weights(table("PFF", "PPF", "PFF"))["s0"] == 1.0
    # For s1: passes c0 (others 2), c1 (others 0); fails c2 (others 0): one pair agrees, one ties: auc 0.75.
    assert script_weights(table("PFF", "PPF", "PFF"))["s1"] == pytest.approx(FLOOR + (1 - FLOOR) * 0.5)


@given(ballots())
def test_weights_are_shares_and_nothing_for_those_that_separate_nothing(made: Ballots) -> None:
    weights = script_weights(made)
    assert list(weights) == list(made.verdicts)
    for script, weight in weights.items():
        votes = {made.passes(script, c) for c in made.electorate(script)}
        assert (weight == 0) == (len(votes) < 2)
        assert 0 <= weight <= 1


@given(ballots(), st.randoms())
def test_weights_do_not_depend_on_any_order(made: Ballots, rng) -> None:
    scripts, classes = list(made.verdicts), list(made.sizes)
    rng.shuffle(scripts)
    rng.shuffle(classes)
    mixed = Ballots({c: made.sizes[c] for c in classes}, {s: made.verdicts[s] for s in scripts}, made.barred)
    assert script_weights(mixed) == pytest.approx(script_weights(made))


@given(ballots())
def test_a_script_that_separates_nothing_changes_no_other_weight(made: Ballots) -> None:
    more = {**made.verdicts, ScriptId("idle"): dict.fromkeys(made.sizes, P)}
    weights = script_weights(Ballots(made.sizes, more, made.barred))
    assert weights.pop(ScriptId("idle")) == 0
    assert weights == pytest.approx(script_weights(made))


def test_a_script_of_every_author_may_vote_on_all() -> None:
    made = table("PF")
    barred = Ballots(made.sizes, made.verdicts, {ScriptId("s0"): frozenset(made.sizes)})
    assert barred.electorate(ScriptId("s0")) == ("c0", "c1")


def matrix(scripts, classes) -> VoteMatrix:
    return VoteMatrix(tuple(scripts), tuple(classes), {(s.id, c.id): not_run("") for s in scripts for c in classes})


def test_ballots_bar_a_script_from_its_authors_class() -> None:
    script = make_script("a", "assert x", author="1")
    classes = [patch_class("c1", patch_to(1), authors=["1", "2"]), patch_class("c2", patch_to(2), authors=["3"])]
    assert ballots_of(matrix([script], classes)).barred == {script.id: {"c1"}}


def test_a_script_handed_to_another_trajectory_is_barred_there_too() -> None:
    script = make_script("a", "assert x", author="1")
    seeded = patch_class("c1", patch_to(1))
    seeded = type(seeded)(seeded.id, seeded.patch, (candidate("5", patch_to(1), script),))
    assert is_own(script, seeded)


def test_an_example_of_the_issue_is_barred_nowhere() -> None:
    script = replace(make_script("a", "assert x"), trajectory=ISSUE)
    shown = patch_class("c1", patch_to(1))
    shown = type(shown)(shown.id, shown.patch, (candidate("5", patch_to(1), script),))
    assert not is_own(script, shown)
    written = make_script("b", "assert x", author="5")
    assert ballots_of(matrix([script, written], [shown])).barred == {"script-a": frozenset()}


def test_equal_sources_have_one_ballot_and_bar_only_where_all_authors_are() -> None:
    scripts = [make_script("a", "assert x", author="1"), make_script("b", "assert x", author="2")]
    classes = [
        patch_class("c1", patch_to(1), authors=["1", "2"]),
        patch_class("c2", patch_to(2), authors=["3"]),
        patch_class("c3", patch_to(3), authors=["4"]),
    ]
    made = ballots_of(matrix(scripts, classes))
    assert made.barred == {"script-a": {"c1"}}
    apart = [patch_class("c1", patch_to(1), authors=["1"]), patch_class("c2", patch_to(2), authors=["2"])]
    assert ballots_of(matrix(scripts, apart)).barred == {"script-a": frozenset()}


def test_classes_can_be_left_out() -> None:
    scripts = [make_script("a", "assert x")]
    classes = [patch_class("c1", patch_to(1)), patch_class("c2", patch_to(2))]
    assert list(ballots_of(matrix(scripts, classes), frozenset({ClassId("c1")})).sizes) == ["c2"]


def test_a_missing_cell_is_named() -> None:
    script = make_script("a", "assert x")
    with pytest.raises(VotesIncomplete, match="script-a"):
        ballots_of(VoteMatrix((script,), (patch_class("c1", patch_to(1)),), {}))
    with pytest.raises(VotesIncomplete, match="s0 on class nowhere"):
        table("PF").passes(ScriptId("s0"), ClassId("nowhere"))
