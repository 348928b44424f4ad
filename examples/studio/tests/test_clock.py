import pytest

from studio import format_time, parse_time


def test_times():
    assert parse_time("18:30") == 1110
    assert parse_time(" 9 ") == 540
    assert parse_time("24:00") == 1440
    assert format_time(545) == "09:05"


def test_no_time_of_day():
    with pytest.raises(ValueError):
        parse_time("25:00")
