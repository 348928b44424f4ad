import pytest

from studio import House, Room, busy_minutes, day_report


def test_book_and_cancel():
    room = Room("Blue", [])
    room.book((600, 660), "The Larks")
    room.book((660, 720), "Oak")
    with pytest.raises(ValueError):
        room.book((650, 670), "Late")
    assert room.cancel("Oak") == 1
    assert room.bookings == [((600, 660), "The Larks")]


def test_a_room_can_start_with_bookings():
    assert not Room("Red", [((600, 660), "Oak")]).is_free((630, 640))


def test_a_house():
    house = House(["Blue", "Red"], opens="10:00", closes="22:00")
    house.book("Red", (720, 780), "Oak")
    house.book("Blue", (600, 660), "The Larks")
    with pytest.raises(ValueError):
        house.book("Blue", (540, 660), "Early")
    assert house.free("Red", minimum=200) == [(780, 1320)]
    assert day_report(house) == "Blue: 10:00-11:00 The Larks\nRed: 12:00-13:00 Oak"
    assert busy_minutes(house.rooms.values()) == 120
