import pytest

from studio import Span, bill, price, split_bill
from studio.bills import format_cents
from studio.prices import discount


def test_price():
    assert price(Span(600, 690)) == 1350
    assert price(Span(600, 660), size="large") == 1400
    assert price(Span(1050, 1110)) == 1050


def test_discount():
    assert [discount(hours) for hours in (9.9, 10, 19, 20)] == [0, 10, 10, 20]


def test_bill():
    assert bill([Span(600, 660)]) == 900
    assert bill([Span(600, 900), Span(600, 900)]) == 8100


def test_split_bill():
    assert split_bill(3000, ["Ann", "Bo", "Cy"]) == {"Ann": 1000, "Bo": 1000, "Cy": 1000}
    with pytest.raises(ValueError):
        split_bill(3000, [])


def test_format_cents():
    assert format_cents(1205) == "12.05"
