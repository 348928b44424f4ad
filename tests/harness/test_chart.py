from hypothesis import given
from hypothesis import strategies as st

from harness.report.chart import Axis, bounds, line


@given(st.floats(0, 1), st.floats(0, 1))
def test_an_axis_keeps_the_order_and_the_ends(a: float, b: float) -> None:
    axis = Axis(0.0, 1.0, 50, 450)
    assert (axis.at(0.0), axis.at(1.0)) == (50, 450)
    assert (axis.at(a) <= axis.at(b)) or a > b


def test_ticks_stand_at_round_values() -> None:
    assert [tick.label for tick in Axis(0.4, 1.0, 0, 100).ticks()] == [
        "0.40",
        "0.50",
        "0.60",
        "0.70",
        "0.80",
        "0.90",
        "1.00",
    ]
    assert [tick.label for tick in Axis(1, 24, 0, 100, log=True).ticks()] == ["1", "2", "4", "8", "16"]
    assert Axis(1, 16, 0, 100, log=True).at(4) == 50.0


def test_bounds_are_whole_steps() -> None:
    assert bounds([0.41, 0.87]) == (0.4, 0.9)
    assert bounds([0.0, 1.0]) == (0.0, 1.0)
    low, high = bounds([0.5, 0.5])
    assert low < high


def test_a_line_ends_where_its_label_goes() -> None:
    drawn = line("ours", [(0, 0), (1, 1)], Axis(0, 1, 0, 10), Axis(0, 1, 100, 0), "name")
    assert (drawn.points, drawn.x, drawn.y) == ("0.0,100.0 10.0,0.0", 10.0, 0.0)
