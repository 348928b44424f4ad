import pytest

from studio import Span, free_spans, merge


def test_a_span_has_a_length():
    assert Span(600, 690).minutes == 90
    with pytest.raises(ValueError):
        Span(600, 600)


def test_overlaps():
    assert Span(600, 660).overlaps(Span(659, 700))
    assert not Span(600, 660).overlaps(Span(660, 700))


def test_merge():
    assert merge([]) == []
    assert merge([Span(720, 780), Span(600, 660)]) == [Span(600, 660), Span(720, 780)]
    assert merge([Span(600, 660), Span(630, 700)]) == [Span(600, 700)]
    assert merge([Span(600, 660), Span(660, 700)]) == [Span(600, 700)]


def test_free_spans():
    day = Span(600, 1200)
    assert free_spans([], day) == [day]
    assert free_spans([Span(600, 700), Span(900, 1000)], day) == [Span(700, 900), Span(1000, 1200)]
    assert free_spans([Span(600, 700), Span(730, 1200)], day, minimum=60) == []
