from studio import bill, discount, parse_members, price, split_bill
from studio.bands import initials
from studio.bills import format_cents


def test_price():
    assert price((600, 690)) == 1350
    assert price((600, 660), size="large") == 1400
    assert price((1050, 1110)) == 1050


def test_discount():
    assert [discount(hours) for hours in (0, 9, 11, 19, 21)] == [0, 0, 10, 10, 20]


def test_bill():
    assert bill([(600, 660)]) == 900
    assert bill([(600, 900), (600, 960)]) == 8910


def test_members():
    assert parse_members("Ann, Bo ,Cy") == ["Ann", "Bo", "Cy"]
    assert initials("ann Lee") == "AL"


def test_split_bill():
    assert split_bill(3000, ["Ann", "Bo", "Cy"]) == {"Ann": 1000, "Bo": 1000, "Cy": 1000}


def test_format_cents():
    assert format_cents(1205) == "12.05"
