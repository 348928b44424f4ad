import pytest

from selection.base import ClassId
from selection.methods import METHODS, Choice
from selection.pool import PoolJudgement, PoolTask
from tests.selection.pools import task, whole


def choice(name: str, made: PoolTask) -> Choice:
    return METHODS[name](whole(made))


def test_pruning_keeps_what_breaks_least() -> None:
    assert choice("pruning", task("abc", "", broken={ClassId("a"): 1})) == {"b": 0.5, "c": 0.5}


def test_agentless_filters_by_tests_then_by_the_most_frequent_script_then_counts() -> None:
    made = task("aaabbc", "", "FPP", "FPP", "PFF", broken={ClassId("c"): 1})
    assert choice("agentless", made) == {"b": 1.0}


def test_agentless_falls_back_where_nothing_passes() -> None:
    assert choice("agentless", task("aab", "", "FF")) == {"a": 1.0}
    assert choice("agentless", task("aab", "")) == {"a": 1.0}


def test_agentless_takes_each_of_equally_frequent_scripts() -> None:
    assert choice("agentless", task("ab", "", "PF", "FP")) == {"a": 0.5, "b": 0.5}


def test_the_hybrid_never_leaves_the_verifiers_better_half() -> None:
    classes = "abcdefgh"
    judged = tuple(
        PoolJudgement(first=ClassId(x), second=ClassId(y), probability=1.0)
        for n, x in enumerate(classes)
        for y in classes[n + 1 :]
    )
    # The script passes d and h; h is in the worse half.
    made = task(classes, "", "FFFPFFFP", judgements=judged)
    assert choice("r2e", made) == {"d": 1.0}
    vetoed = made.model_copy(update={"broken": {ClassId("d"): 1}})
    assert choice("r2e", vetoed) == pytest.approx({"a": 1.0})
