from collections.abc import Sequence

from selection.base import ClassId
from selection.methods import METHODS, Choice
from selection.pool import PoolComparison, PoolPass, PoolTask
from tests.selection.pools import task, whole

SMALL, STRONG, MACHINE = "ours-compared", "ours-compared-strong", "codemonkeys-machine"


def compared(made: PoolTask, classes: str, *passes: str, single: bool = False) -> PoolTask:
    """A letter a pass: the class that it chose; in brackets one that it only named; `-` for none."""
    said = PoolComparison(
        classes=tuple(map(ClassId, classes)), single=single, passes=tuple(_pass(one) for one in passes)
    )
    return made.model_copy(update={"comparisons": (*made.comparisons, said)})


def _pass(said: str) -> PoolPass:
    named = None if said == "-" else ClassId(said.strip("()"))
    return PoolPass(named=named, choice=None if "(" in said else named)


def choice(name: str, made: PoolTask) -> Choice:
    return METHODS[name](whole(made))


def asked(name: str, made: PoolTask) -> Sequence[ClassId]:
    asks = METHODS[name].asks
    assert asks is not None
    return sorted(asks.shortlist(whole(made)))


FOUR = task("abcd", "", "PPPF", patches=["wwww", "x", "yy", "z"])


def test_the_machine_chooses_among_three_and_an_opinion_is_enough_for_it() -> None:
    assert asked(MACHINE, FOUR) == ["a", "b", "c"]
    assert choice(MACHINE, compared(FOUR, "abc", "a", single=True)) == {"a": 1.0}
    assert choice(MACHINE, compared(FOUR, "abc", "(c)", single=True)) == {"c": 1.0}


def test_the_machine_falls_back_to_the_first_of_the_filter() -> None:
    first = {"b": 1.0}  # most votes, then the shortest
    assert choice(MACHINE, compared(FOUR, "abc", "-", single=True)) == first
    assert choice(MACHINE, FOUR) == first  # nobody compared these
    assert choice(MACHINE, compared(FOUR, "abc", "c", "c")) == first  # another kind of comparison
    assert choice(MACHINE, task("aa", "", "P", patches=["x", "x"])) == {"a": 1.0}


def test_most_passes_decide_where_the_votes_leave_it_open() -> None:
    open_ = task("abc", "", "FFF")  # no script passes any
    assert asked(SMALL, open_) == ["a", "b", "c"]
    assert choice(SMALL, compared(open_, "abc", "b", "c", "b", "b", "b")) == {"b": 1.0}
    for first in "abc":  # a choice counts as well where the order has it first already
        assert choice(SMALL, compared(open_, "abc", first, first)) == {first: 1.0}
    undecided = compared(open_, "abc", "b", "c", "b", "c", "a", "(b)")
    assert choice(SMALL, undecided) == choice(SMALL, open_) == choice("ours", open_)


def test_decisive_votes_are_not_compared() -> None:
    sure = task("ab", "", "PF", "PF", "PF", authors=["x", "y", "z"])
    assert asked(SMALL, sure) == asked(STRONG, sure) == []
    assert choice(SMALL, compared(sure, "ab", "b", "b")) == {"a": 1.0}


def test_only_strong_models_are_asked_of_twins_and_may_overrule_votes() -> None:
    twins = task("aab", "", "PP", "PP", authors=["x", "y"])
    assert (asked(SMALL, twins), asked(STRONG, twins)) == ([], ["a", "b"])
    behind = task("ab", "", "PF", "PF", "PF", "FP", "FP", authors=list("vwxyz"))
    assert choice(STRONG, compared(behind, "ab", "b", "b")) == {"b": 1.0}
    assert choice(SMALL, compared(behind, "ab", "b", "b")) == {"a": 1.0}
