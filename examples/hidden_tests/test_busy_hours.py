from studio import Room, Span, busy_minutes, free_spans, merge


def test_a_span_inside_another():
    assert merge([Span(600, 840), Span(660, 720)]) == [Span(600, 840)]
    assert merge([Span(660, 720), Span(600, 840)]) == [Span(600, 840)]
    assert merge([Span(600, 840), Span(600, 610)]) == [Span(600, 840)]


def test_what_follows_an_enclosed_span():
    assert merge([Span(600, 840), Span(660, 720), Span(800, 900)]) == [Span(600, 900)]
    assert merge([Span(600, 840), Span(660, 720), Span(850, 900)]) == [Span(600, 840), Span(850, 900)]
    assert merge([Span(0, 100), Span(10, 20), Span(30, 40), Span(100, 120)]) == [Span(0, 120)]


def test_what_worked_still_works():
    assert merge([]) == []
    assert merge([Span(5, 6)]) == [Span(5, 6)]
    assert merge([Span(630, 700), Span(600, 660)]) == [Span(600, 700)]
    assert merge([Span(600, 660), Span(660, 700), Span(800, 900)]) == [Span(600, 700), Span(800, 900)]


def test_the_argument_is_left_alone():
    spans = [Span(660, 720), Span(600, 840)]
    merge(spans)
    assert spans == [Span(660, 720), Span(600, 840)]


def test_the_report_and_the_free_times():
    rooms = [Room("Blue", [(Span(600, 840), "Oak")]), Room("Red", [(Span(660, 720), "Ash")])]
    assert busy_minutes(rooms) == 240
    assert free_spans([Span(600, 840), Span(660, 720)], Span(600, 1200)) == [Span(840, 1200)]
