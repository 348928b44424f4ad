"""What a rehearsal costs, in cents."""

from studio.clock import parse_time

HOURLY = {"small": 900, "large": 1400}
EVENING_STARTS = parse_time("18:00")
EVENING_SURCHARGE = 300


def price(span, size="small"):
    """Cents for a span: the hourly rate, plus a surcharge for each hour of the evening, rounded half up."""
    start, end = span
    evening = max(0, end - max(start, EVENING_STARTS))
    sixtieths = HOURLY[size] * (end - start) + EVENING_SURCHARGE * evening
    return (sixtieths + 30) // 60


def discount(hours):
    """Per cent off for a band with that many hours in a month."""
    if hours > 20:
        return 20
    if hours > 10:
        return 10
    return 0
