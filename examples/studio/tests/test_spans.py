from studio import free_spans, merge, overlap


def test_overlap():
    assert overlap((600, 660), (659, 700))
    assert not overlap((600, 660), (660, 700))


def test_merge():
    assert merge([]) == []
    assert merge([(720, 780), (600, 660)]) == [(600, 660), (720, 780)]
    assert merge([(600, 660), (630, 700)]) == [(600, 700)]
    assert merge([(600, 660), (660, 700)]) == [(600, 700)]


def test_free_spans():
    assert free_spans([], 600, 1200) == [(600, 1200)]
    assert free_spans([(600, 700), (900, 1000)], 600, 1200) == [(700, 900), (1000, 1200)]
    assert free_spans([(600, 700), (760, 1200)], 600, 1200, minimum=60) == [(700, 760)]
    assert free_spans([(600, 700), (759, 1200)], 600, 1200, minimum=60) == []
