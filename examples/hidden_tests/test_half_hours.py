import pytest
from studio import bill, price


@pytest.mark.parametrize(
    ("span", "size", "cents"),
    [
        ((600, 690), "small", 1350),
        ((600, 645), "small", 675),
        ((600, 620), "large", 466),
        ((600, 630), "large", 700),
        ((0, 1), "small", 15),
        ((600, 660), "small", 900),
        ((600, 780), "large", 4200),
    ],
)
def test_price(span, size, cents):
    assert price(span, size) == cents


def test_cents_are_whole():
    assert isinstance(price((600, 690)), int)
    assert isinstance(price((600, 620), "large"), int)


def test_the_bill():
    assert bill([(600, 690), (600, 645)]) == 2025
