from selection.draws import Drawer
from selection.study.allocate import allocate
from tests.selection.pools import task

SOURCES = ["good"] * 4 + ["bad"] * 4


def test_the_budget_goes_to_the_source_that_solves() -> None:
    drawers = [Drawer(task("aaaabbbb", "a", "PP", source=SOURCES, id=f"task-{n}")) for n in range(3)]
    found = allocate(drawers, 4, 1, 10, 0)
    assert found.even_split == {"bad": 2, "good": 2}
    assert found.split["good"] > found.split["bad"]
    assert sum(found.split.values()) == 4
    assert (found.score, found.even_score) == (1.0, 0.5)
    assert found.single == {"bad": 0.0, "good": 1.0}
    assert found.gain_interval[0] > 0


def test_where_sources_are_alike_the_even_split_stays() -> None:
    drawers = [Drawer(task("aaaaaaaa", "a", "P", source=SOURCES))]
    found = allocate(drawers, 4, 1, 10, 0)
    assert found.split == found.even_split
