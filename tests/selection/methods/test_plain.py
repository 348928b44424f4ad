from selection.methods import METHODS, Choice
from tests.selection.pools import task, whole


def choice(name: str, candidates: str, patches: list[str] | None = None) -> Choice:
    return METHODS[name](whole(task(candidates, "", patches=patches or [])))


def test_random_may_take_a_candidate_without_a_patch_and_first_does_not() -> None:
    assert choice("random", "aab-") == {"a": 0.5, "b": 0.25, None: 0.25}
    assert choice("first", "aab-") == {"a": 2 / 3, "b": 1 / 3}


def test_the_shortest_diff_wins_and_ties_are_shared() -> None:
    assert choice("shortest", "aab", ["long one", "xy", "zw"]) == {"a": 0.5, "b": 0.5}


def test_the_majority_of_texts_may_be_another_than_that_of_classes() -> None:
    assert choice("majority", "aaabb") == {"a": 1.0}
    assert choice("majority-text", "aaabb", ["1", "2", "3", "4", "4"]) == {"b": 1.0}


def test_lines_that_others_have_too_win() -> None:
    patches = ["+++ b/f\n+x = 1\n-y", "+++ b/f\n+x  =  1\n-z", "+++ b/g\n+x = 1"]
    assert choice("atoms", "abc", patches) == {"a": 0.5, "b": 0.5}
    assert choice("atoms", "abc", [*patches[:2], "+++ b/f\n+x = 1"]) == {"c": 1.0}
