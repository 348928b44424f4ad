from studio import Room, busy_minutes, free_spans, merge


def test_a_span_inside_another():
    assert merge([(600, 840), (660, 720)]) == [(600, 840)]
    assert merge([(660, 720), (600, 840)]) == [(600, 840)]
    assert merge([(600, 840), (600, 610)]) == [(600, 840)]
    assert merge([(600, 840), (600, 840)]) == [(600, 840)]


def test_what_follows_an_enclosed_span():
    assert merge([(600, 840), (660, 720), (800, 900)]) == [(600, 900)]
    assert merge([(600, 840), (660, 720), (850, 900)]) == [(600, 840), (850, 900)]
    assert merge([(0, 100), (10, 20), (30, 40), (100, 120)]) == [(0, 120)]


def test_what_worked_still_works():
    assert merge([]) == []
    assert merge([(5, 6)]) == [(5, 6)]
    assert merge([(630, 700), (600, 660)]) == [(600, 700)]
    assert merge([(600, 660), (660, 700), (800, 900)]) == [(600, 700), (800, 900)]


def test_the_argument_is_left_alone():
    spans = [(660, 720), (600, 840)]
    merge(spans)
    assert spans == [(660, 720), (600, 840)]


def test_the_report_and_the_free_times():
    rooms = [Room("Blue", [((600, 840), "Oak")]), Room("Red", [((660, 720), "Ash")])]
    assert busy_minutes(rooms) == 240
    assert free_spans([(600, 840), (660, 720)], 600, 1200) == [(840, 1200)]
