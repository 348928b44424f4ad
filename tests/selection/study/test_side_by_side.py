import math

from selection.study.side_by_side import side_by_side


def test_results_keep_the_order_of_the_items() -> None:
    for workers in (1, 2):
        with side_by_side(workers) as each:
            assert list(each(math.factorial, range(6))) == [1, 1, 2, 6, 24, 120]
