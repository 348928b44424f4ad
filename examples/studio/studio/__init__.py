"""Bookings, prices and bills of a house with rehearsal rooms."""

from studio.bills import bill, split_bill
from studio.clock import format_time, parse_duration, parse_time
from studio.prices import price
from studio.report import busy_minutes, day_report
from studio.rooms import House, Room
from studio.spans import Span, free_spans, merge

__all__ = [
    "House",
    "Room",
    "Span",
    "bill",
    "busy_minutes",
    "day_report",
    "format_time",
    "free_spans",
    "merge",
    "parse_duration",
    "parse_time",
    "price",
    "split_bill",
]
