"""Rooms and who has booked them."""

from studio.clock import parse_time
from studio.spans import Span, free_spans


class Room:
    """A room with its bookings of one day, a list of (span, band)."""

    def __init__(self, name, bookings=[]):
        self.name = name
        self.bookings = bookings

    def is_free(self, span):
        return not any(span.overlaps(taken) for taken, _ in self.bookings)

    def book(self, span, band):
        """Add a booking; ValueError when the room is taken."""
        if not self.is_free(span):
            raise ValueError(f"{self.name} is taken")
        self.bookings.append((span, band))

    def cancel(self, band):
        """Drop all bookings of a band; how many there were."""
        kept = [booking for booking in self.bookings if booking[1] != band]
        dropped = len(self.bookings) - len(kept)
        self.bookings[:] = kept
        return dropped

    def free(self, minimum, within):
        return free_spans([span for span, _ in self.bookings], within, minimum)


class House:
    """The rooms and the opening hours."""

    def __init__(self, rooms, opens="09:00", closes="23:00"):
        self.rooms = {name: Room(name, []) for name in rooms}
        self.hours = Span(parse_time(opens), parse_time(closes))

    def room(self, name):
        if name not in self.rooms:
            raise KeyError(f"no room {name!r}; there are {', '.join(sorted(self.rooms))}")
        return self.rooms[name]

    def book(self, room, span, band):
        """Book a span within the opening hours."""
        if span.start < self.hours.start or span.end > self.hours.end:
            raise ValueError("outside the opening hours")
        self.room(room).book(span, band)
