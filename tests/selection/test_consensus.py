from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.trajectory import ScriptId
from selection.base import ClassId, Probe
from selection.consensus import MOST_PROBED, agreement_of, behaviours, by_agreement, consensus, in_doubt
from selection.vote import Standing

C1, C2, C3 = (ClassId(name) for name in ("c1", "c2", "c3"))


def outputs(*texts: str) -> dict[ClassId, str]:
    return {ClassId(f"c{number}"): text for number, text in enumerate(texts, 1) if text}


def standing(name: ClassId, votes: float = 1.0, twin: ClassId = C1, size: int = 1) -> Standing:
    return Standing(name, votes, 1, size, twin, size)


def probe(*texts: str) -> Probe:
    return Probe("p1", "m.py:f", "f(1)", ScriptId("s"), False, outputs(*texts), "")


def test_the_mean_share_of_candidates_with_the_same_output() -> None:
    assert consensus([outputs("1", "1", "2")], {C1: 1, C2: 1, C3: 2}) == {C1: 0.5, C2: 0.5, C3: 0.5}
    assert consensus([outputs("1", "1", "2")], {C1: 2, C2: 1, C3: 1}) == {C1: 0.75, C2: 0.75, C3: 0.25}


def test_a_class_without_an_output_agrees_with_nobody() -> None:
    assert consensus([outputs("1", "2", "")], {C1: 1, C2: 1, C3: 2}) == {C1: 0.25, C2: 0.25, C3: 0.0}


def test_an_input_that_splits_more_weighs_more() -> None:
    # The first splits off one of four, the second halves: c3 is with the majority once and alone never.
    found = consensus([outputs("1", "1", "2"), outputs("1", "2", "1")], {C1: 2, C2: 1, C3: 1})
    assert found[C1] > found[C2] == found[C3]


shares = st.lists(
    st.dictionaries(st.sampled_from([C1, C2, C3]), st.sampled_from(["1", "2", "3"])), max_size=8
)  # fmt: skip
sizes = st.fixed_dictionaries({C1: st.integers(1, 5), C2: st.integers(1, 5), C3: st.integers(1, 5)})


@given(shares, sizes, st.sampled_from(["", "1"]))
def test_inputs_that_separate_nothing_change_nothing(
    given_: list[dict[ClassId, str]], of: dict[ClassId, int], same: str
) -> None:
    found = consensus(given_, of)
    assert found == consensus([*given_, outputs(same, same, same)], of)
    assert all(0 <= value <= 1 for value in found.values())


@given(shares, sizes)
def test_the_order_of_inputs_does_not_matter(given_: list[dict[ClassId, str]], of: dict[ClassId, int]) -> None:
    assert consensus(given_, of) == consensus(given_[::-1], of)


def test_no_input_and_no_difference_are_no_consensus() -> None:
    assert consensus([], {C1: 1, C2: 1}) == {}
    assert consensus([outputs("1", "1")], {C1: 1, C2: 1}) == {}


def test_classes_that_behave_alike_have_one_name() -> None:
    found = behaviours([outputs("1", "1", "1"), outputs("1", "2", "1")], [C1, C2, C3])
    assert found == {C1: C1, C2: C2, C3: C1}


def test_the_leader_and_its_twins_are_in_doubt_and_the_shortlist_where_it_is_open() -> None:
    ranked = [standing(C1), standing(C2, 0.5, C2), standing(C3)]
    assert in_doubt(ranked, 0) == (C1, C3)
    assert in_doubt(ranked, 3) == (C1, C2, C3)
    assert in_doubt(ranked[:2], 0) == ()
    assert in_doubt(ranked[:1], 3) == ()
    assert len(in_doubt([standing(ClassId(f"c{n}")) for n in range(99)], 0)) == MOST_PROBED


def test_twins_are_ordered_by_consensus_on_their_own_places() -> None:
    ranked = [standing(C1), standing(C2, 0.5, C2), standing(C3, 0.4, size=2)]
    agreement = agreement_of(ranked, (C1, C3), [probe("1", "", "2")])
    assert agreement == {C1: 0.333333333, C3: 0.666666667}
    assert [s.id for s in by_agreement(ranked, agreement)] == [C3, C2, C1]


def test_rivals_that_scripts_tell_apart_keep_the_order_of_the_votes() -> None:
    ranked = [standing(C1), standing(C2, 0.9, C2, size=5)]
    agreement = agreement_of(ranked, (C1, C2), [probe("1", "2")])
    assert agreement[C2] > agreement[C1]
    assert by_agreement(ranked, agreement) == ranked


def test_without_probes_the_order_is_that_of_the_votes() -> None:
    ranked = [standing(C1), standing(C2)]
    assert by_agreement(ranked, agreement_of(ranked, (C1, C2), [])) == ranked


def test_calls_on_which_a_class_raises_do_not_order() -> None:
    ranked = [standing(C1), standing(C2, size=3)]
    raising = probe("1", "raises ValueError")
    assert agreement_of(ranked, (C1, C2), [raising]) == {}
    assert agreement_of(ranked, (C1, C2), [raising, probe("'raises '", "2")]) == {C1: 0.25, C2: 0.75}
