"""What a rehearsal costs, in cents."""

HOURLY = {"small": 900, "large": 1400}


def price(span, size="small"):
    """Cents for a span, by the hourly rate of a room of that size."""
    start, end = span
    hours = (end - start) // 60
    return hours * HOURLY[size]


def format_cents(cents):
    """An amount such as "12.05"."""
    return f"{cents // 100}.{cents % 100:02d}"
