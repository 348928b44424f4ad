from studio import House, Room

HOUR = (600, 660)


def test_rooms_share_nothing():
    blue, red = Room("Blue"), Room("Red")
    blue.book(HOUR, "The Larks")
    assert blue.bookings == [(HOUR, "The Larks")]
    assert red.bookings == []
    assert red.is_free(HOUR)
    assert Room("Green").bookings == []


def test_given_bookings_are_kept():
    room = Room("Blue", [(HOUR, "Oak")])
    assert room.bookings == [(HOUR, "Oak")]
    assert not room.is_free(HOUR)
    assert Room("Red", bookings=[]).bookings == []


def test_cancel_touches_one_room():
    blue, red = Room("Blue"), Room("Red")
    blue.book(HOUR, "Oak")
    red.book(HOUR, "Oak")
    assert blue.cancel("Oak") == 1
    assert red.bookings == [(HOUR, "Oak")]


def test_through_the_house():
    house = House(["Blue", "Red"])
    house.book("Blue", HOUR, "Oak")
    assert house.rooms["Red"].bookings == []
