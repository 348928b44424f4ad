"""Spans of time within one day: pairs (start, end) of minutes after midnight, the end not included."""


def merge(spans):
    """Join spans that overlap or touch; the result is sorted and its spans lie apart."""
    merged = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], end)
        else:
            merged.append((start, end))
    return merged


def overlap(one, other):
    """Whether two spans share at least one minute."""
    return one[0] < other[1] and other[0] < one[1]


def free_spans(taken, opens, closes, minimum=1):
    """The spans from `opens` to `closes` that nothing in `taken` covers, each at least `minimum` minutes long."""
    free = []
    start = opens
    for taken_start, taken_end in merge(taken):
        if taken_start - start >= minimum:
            free.append((start, taken_start))
        start = max(start, taken_end)
    if closes - start >= minimum:
        free.append((start, closes))
    return free
