"""Spans of time within one day."""

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Span:
    """From `start` up to, not including, `end`, in minutes after midnight."""

    start: int
    end: int

    def __post_init__(self):
        if self.end <= self.start:
            raise ValueError(f"a span ends after it starts: {self.start}-{self.end}")

    @property
    def minutes(self):
        return self.end - self.start

    def overlaps(self, other):
        """Whether the two share at least one minute."""
        return self.start < other.end and other.start < self.end


def merge(spans):
    """Join spans that overlap or touch; the result is sorted and its spans lie apart."""
    merged = []
    for span in sorted(spans):
        if merged and span.start <= merged[-1].end:
            last = merged.pop()
            merged.append(Span(last.start, span.end))
        else:
            merged.append(span)
    return merged


def free_spans(taken, within, minimum=1):
    """The spans of `within` that no span in `taken` covers and that are at least `minimum` minutes long."""
    free = []
    start = within.start
    for span in merge(taken):
        if span.start - start > minimum:
            free.append(Span(start, span.start))
        start = max(start, span.end)
    if within.end - start > minimum:
        free.append(Span(start, within.end))
    return free
