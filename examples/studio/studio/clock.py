"""Times of day as people type them, in minutes after midnight."""


def parse_time(text):
    """Minutes after midnight of a time such as "18:30"; "24:00" is the end of the day."""
    hours, _, minutes = text.strip().partition(":")
    total = int(hours) * 60 + int(minutes or 0)
    if not 0 <= total <= 24 * 60:
        raise ValueError(f"no time of day: {text!r}")
    return total


def format_time(minutes):
    """A time of day such as "18:30"."""
    return f"{minutes // 60:02d}:{minutes % 60:02d}"
