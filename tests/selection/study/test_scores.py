import pytest

from selection.base import ClassId
from selection.draws import Drawer
from selection.methods import METHODS
from selection.methods.base import Signal
from selection.pool import PoolComparison, PoolPass
from selection.study.scores import Tally, at_size, costs, expected, tally
from tests.selection.pools import task, whole

NAMES = ("random", "checked-vote", "ours")


def test_a_tie_is_worth_its_expectation() -> None:
    a, b = ClassId("a"), ClassId("b")
    assert expected({a: 0.25, b: 0.25, None: 0.5}, {a: 1.0, b: 0.0}) == 0.25


def test_costs_are_what_it_takes_to_know_a_signal() -> None:
    draw = whole(task("abc-", "", "PFF", "PPP", "FFF", unedited="FFP", passing=3))
    assert costs(draw) == {
        Signal.SCRIPTS: 3 + 2 * 3,
        Signal.UNCHECKED: 3,
        Signal.REGRESSIONS: 2 + 3,
        Signal.PROBES: 0,
        Signal.JUDGEMENTS: 0,
    }


def test_a_tally_adds_up_what_its_draws_gave() -> None:
    drawer = Drawer(task("aabb", "a", "PF"))
    found = tally(NAMES, 1, 1, 400, 0, drawer)
    assert found.draws == 400
    # With one candidate there is nothing to choose.
    assert found.score["ours"] == found.score["random"] == found.score["oracle"]
    assert found.score["random"] == pytest.approx(0.5, abs=0.1)
    assert sum(of["draws"] for of in found.hits.values()) == pytest.approx(400)
    assert (found.tokens, found.script_tokens) == (pytest.approx(100), pytest.approx(10))


def test_one_draw_is_enough_where_there_is_only_one() -> None:
    found = tally(NAMES, 9, 9, 400, 0, Drawer(task("aab-", "a", "FP")))
    assert found.draws == 1
    assert found.score == {"random": 0.5, "checked-vote": 0.0, "ours": 0.0, "oracle": 1.0}
    assert found.hits[2] == {"draws": 1, "random": 0.5, "checked-vote": 0.0, "ours": 0.0, "oracle": 1.0}


def _size(*pools: tuple[str, str, str]) -> dict[str, float | None]:
    from selection.methods import METHODS

    tallies: list[Tally] = [tally(NAMES, 9, 9, 1, 0, Drawer(task(*pool))) for pool in pools]
    methods = [METHODS[name] for name in (*NAMES, "shortest")]
    record = at_size(tallies, methods, {Signal.SCRIPTS}, 9, 9, len(pools), 0)
    assert record.methods[-1].missing == ("patches",)
    assert record.methods[-1].score is None
    assert [hit.right for hit in record.methods[0].hits] == sorted({hit.right for hit in record.methods[0].hits})
    return {method.name: method.gap_recovered for method in record.methods}


def test_the_gap_runs_from_random_to_the_oracle() -> None:
    assert _size(("ab", "a", "PF"), ("ab", "a", "PF")) == {
        "random": 0.0,
        "checked-vote": 1.0,
        "ours": 1.0,
        "shortest": None,
    }
    # Right once, wrong once: as good as random.
    assert _size(("ab", "a", "PF"), ("ab", "a", "FP"))["ours"] == pytest.approx(0.0)


def test_where_all_are_right_there_is_no_gap() -> None:
    assert _size(("ab", "ab", "PF"))["ours"] is None


def test_what_comparisons_cost_and_how_many_are_recorded() -> None:
    a, b = map(ClassId, "ab")
    said = PoolComparison(
        classes=(a, b),
        single=True,
        passes=(PoolPass(named=b, choice=b, completion_tokens=70, executions=6),),
    )
    known = task("ab", "b", "PP", patches=["x", "xx"], comparisons=(said,))
    unknown = task("bc", "b", "PP", patches=["x", "xx"], id="other")
    alone = task("a", "a", "P", patches=["x"], id="third")
    drawers = [Drawer(one) for one in (known, unknown, alone)]
    names = ("random", "ours", "codemonkeys-machine")
    tallies = [tally(names, 2, 1, 1, 0, drawer) for drawer in drawers]
    there = {Signal.SCRIPTS, Signal.PATCHES, Signal.COMPARISONS}
    record = at_size(tallies, [METHODS[name] for name in names], there, 2, 1, 0, 0)
    machine = next(one for one in record.methods if one.name == "codemonkeys-machine")
    assert machine.compared == 0.5  # of two; where one class is alone there is nothing to compare
    assert machine.cost is not None
    assert machine.cost.executions == pytest.approx((1 + 2 + 6 + 1 + 2 + 1 + 1) / 3)
    assert machine.cost.script_tokens == pytest.approx((10 + 70 + 10 + 10) / 3)
    assert machine.score == 1.0  # b by the comparison, b as the shortest, a
    assert all(one.compared is None for one in record.methods if one is not machine)
