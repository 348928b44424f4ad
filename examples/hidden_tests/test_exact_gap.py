from studio import Room, Span, free_spans

DAY = Span(600, 1200)


def test_between_two_bookings():
    assert free_spans([Span(600, 720), Span(780, 1200)], DAY, minimum=60) == [Span(720, 780)]


def test_before_closing():
    assert free_spans([Span(600, 1140)], DAY, minimum=60) == [Span(1140, 1200)]


def test_after_opening():
    assert free_spans([Span(660, 1200)], DAY, minimum=60) == [Span(600, 660)]


def test_too_short_is_not_offered():
    assert free_spans([Span(600, 720), Span(779, 1200)], DAY, minimum=60) == []
    assert free_spans([Span(600, 1141)], DAY, minimum=60) == []


def test_no_empty_gaps():
    assert free_spans([Span(600, 700), Span(700, 1200)], DAY) == []
    assert free_spans([Span(600, 700), Span(701, 1200)], DAY) == [Span(700, 701)]
    assert free_spans([], DAY, minimum=600) == [DAY]


def test_through_a_room():
    room = Room("Blue", [(Span(600, 720), "Oak"), (Span(780, 1200), "Ash")])
    assert room.free(60, within=DAY) == [Span(720, 780)]
