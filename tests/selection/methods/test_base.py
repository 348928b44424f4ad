from selection.base import ClassId
from selection.methods.base import best, by_size, evenly
from tests.selection.pools import task, whole

A, B, C = map(ClassId, "abc")


def test_the_best_are_all_that_share_the_highest_key() -> None:
    assert best([A, B, C], {A: 1, B: 2, C: 2}.__getitem__) == [B, C]


def test_chances_are_spread_over_classes_or_over_candidates() -> None:
    draw = whole(task("aaab", ""))
    assert evenly(draw.classes) == {A: 0.5, B: 0.5}
    assert by_size(draw, draw.classes) == {A: 0.75, B: 0.25}
