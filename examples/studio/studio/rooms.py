"""Rooms and who has booked them."""

from studio.clock import parse_time
from studio.spans import free_spans, overlap


class Room:
    """A room with its bookings of one day, a list of pairs (span, band)."""

    def __init__(self, name, bookings=[]):
        self.name = name
        self.bookings = bookings

    def is_free(self, span):
        return not any(overlap(span, taken) for taken, _ in self.bookings)

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


class House:
    """The rooms and the opening hours."""

    def __init__(self, rooms, opens="09:00", closes="23:00"):
        self.rooms = {name: Room(name, []) for name in rooms}
        self.opens = parse_time(opens)
        self.closes = parse_time(closes)

    def book(self, room, span, band):
        """Book a span within the opening hours."""
        if span[0] < self.opens or span[1] > self.closes:
            raise ValueError("outside the opening hours")
        self.rooms[room].book(span, band)

    def free(self, room, minimum=1):
        """The spans of a room that can still be booked."""
        taken = [span for span, _ in self.rooms[room].bookings]
        return free_spans(taken, self.opens, self.closes, minimum)
