import pytest
from studio import parse_duration


@pytest.mark.parametrize(("text", "minutes"), [("2h", 120), ("1h", 60), ("10h", 600), (" 3H ", 180), ("0h", 0)])
def test_whole_hours(text, minutes):
    assert parse_duration(text) == minutes


@pytest.mark.parametrize(("text", "minutes"), [("45m", 45), ("90", 90), ("1h30m", 90), ("2h05", 125), ("1h 15m", 75)])
def test_what_worked_still_works(text, minutes):
    assert parse_duration(text) == minutes


@pytest.mark.parametrize("text", ["soon", "h", "m", "", "h30", "1h2h"])
def test_no_duration(text):
    with pytest.raises(ValueError):  # noqa: PT011 - any message will do
        parse_duration(text)
