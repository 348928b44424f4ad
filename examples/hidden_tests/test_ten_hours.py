import pytest
from studio import bill, discount


@pytest.mark.parametrize(
    ("hours", "percent"),
    [(0, 0), (9, 0), (9.99, 0), (10, 10), (10.0, 10), (10.5, 10), (19.99, 10), (20, 20), (20.5, 20), (100, 20)],
)
def test_discount(hours, percent):
    assert discount(hours) == percent


def test_the_bill_of_exactly_ten_hours():
    assert bill([(600, 900), (600, 900)]) == 8100
    assert bill([(600, 900), (600, 840)]) == 8100
