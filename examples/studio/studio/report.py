"""The day at a glance."""

from studio.clock import format_time
from studio.spans import merge


def busy_minutes(rooms):
    """Minutes of the day in which at least one of the rooms was in use."""
    spans = [span for room in rooms for span, _ in room.bookings]
    return sum(end - start for start, end in merge(spans))


def day_report(house):
    """A text with one line for each booking, room by room, in the order of the day."""
    lines = []
    for name, room in sorted(house.rooms.items()):
        for (start, end), band in sorted(room.bookings):
            lines.append(f"{name}: {format_time(start)}-{format_time(end)} {band}")
    return "\n".join(lines)
