from selection.base import ClassId
from selection.methods import METHODS, Choice
from selection.pool import PoolProbe, PoolTask
from selection.vote import standings
from selection.weights import script_weights
from tests.selection.pools import task, whole


def choice(name: str, made: PoolTask) -> Choice:
    return METHODS[name](whole(made))


def test_votes_of_checked_scripts_count_and_size_breaks_ties() -> None:
    made = task("abbc", "", "PPF", "PPF", "FFP", "FFP", "FFP", unedited="FFFPP")
    assert choice("checked-vote", made) == {"a": 0.5, "b": 0.5}
    assert choice("checked-vote-then-size", made) == {"b": 1.0}


def test_codemonkeys_counts_unchecked_scripts_too_and_chooses_among_candidates() -> None:
    made = task("abbc", "", "PPF", "PPF", "FFP", "FFP", "FFP", unedited="FFFPP")
    assert choice("codemonkeys-vote", made) == {"c": 1.0}
    assert choice("codemonkeys-vote", task("abbc", "", "PPF")) == {"a": 1 / 3, "b": 2 / 3}


def test_codemonkeys_filter_prefers_the_shorter_of_equal_votes() -> None:
    assert choice("codemonkeys-top", task("abc", "", "PPF", patches=["long", "xy", "z"])) == {"b": 1.0}


def test_ones_own_script_is_left_out_of_the_cross_vote_only() -> None:
    made = task("ab", "", "PF", "FP", "FP", authors=["t0", "t1", "t1"])
    # Of others, class a has 0 of 2 and class b has 0 of 1.
    assert choice("cross-vote", made) == {"a": 0.5, "b": 0.5}
    assert choice("checked-vote", made) == {"b": 1.0}


def test_the_largest_group_that_no_script_tells_apart() -> None:
    made = task("abbccc", "", "PFF", "PPP")
    assert choice("behaviour", made) == {"b": 2 / 5, "c": 3 / 5}
    # Dual agreement: 1 candidate x 2 scripts to 5 x 1.
    assert choice("codet", made) == {"b": 2 / 5, "c": 3 / 5}
    assert choice("codet", task("abbc", "", "PFF", "PPP", "PFF", "PFF")) == {"a": 1.0}


def test_kozuchi_weighs_the_repositorys_tests_more() -> None:
    broken = {ClassId("a"): 5}
    assert choice("kozuchi", task("ab", "", "PF", passing=10, broken=broken)) == {"b": 1.0}
    assert choice("kozuchi", task("ab", "", "PF", passing=100, broken=broken)) == {"a": 1.0}


def test_ours_is_the_selections_own_ranking_with_its_veto() -> None:
    made = task("aabc", "", "PPF", "FPP", "FPF", authors=["t0", "t2", "t3"])
    draw = whole(made)
    expected = standings(draw.ballots, script_weights(draw.ballots), draw.ties)
    assert draw.ranking == expected
    assert METHODS["ours"](draw) == {expected[0].id: 1.0}
    vetoed = made.model_copy(update={"broken": {expected[0].id: 1}})
    assert choice("ours", vetoed) == {expected[1].id: 1.0}


def test_ours_shares_what_only_the_order_would_decide() -> None:
    assert choice("ours", task("ab", "", "PP")) == {"a": 0.5, "b": 0.5}
    assert choice("ours", task("ab", "", "PP", patches=["xx", "x"])) == {"b": 1.0}


def test_what_no_script_tells_apart_is_ordered_by_the_probes() -> None:
    probes = tuple(
        PoolProbe(id=f"p{n}", outputs=dict(zip(map(ClassId, "abc"), row, strict=True)))
        for n, row in enumerate(("xyy", "xxz"))
    )
    # Two of three agree with b on the first call; on the second a and b agree.
    assert choice("ours", task("abc", "", "PPP", probes=probes)) == {"b": 1.0}
    # A vote is never overruled.
    assert choice("ours", task("abc", "", "PFF", probes=probes)) == {"a": 1.0}
