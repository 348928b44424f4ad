from studio import bill, discount, parse_members, price, split_bill
from studio.bands import initials
from studio.prices import format_cents


def test_price():
    assert price((600, 660)) == 900
    assert price((600, 720), size="large") == 2800


def test_discount():
    assert [discount(hours) for hours in (0, 9, 11, 19, 21)] == [0, 0, 10, 10, 20]


def test_bill():
    assert bill([(600, 660)]) == 900
    assert bill([(600, 900), (600, 960)]) == 8910


def test_members():
    assert parse_members("Ann, Bo ,Cy") == ["Ann", "Bo", "Cy"]
    assert initials("ann Lee") == "AL"


def test_split_bill():
    assert split_bill(1001, ["Ann", "Bo", "Cy"]) == {"Ann": 334, "Bo": 334, "Cy": 333}


def test_format_cents():
    assert format_cents(1205) == "12.05"
