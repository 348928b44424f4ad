"""Bookings, prices and bills of a house with rehearsal rooms."""

from studio.bands import parse_members
from studio.bills import bill, discount, split_bill
from studio.clock import format_time, parse_time
from studio.prices import price
from studio.report import busy_minutes, day_report
from studio.rooms import House, Room
from studio.spans import free_spans, merge, overlap

__all__ = [
    "House",
    "Room",
    "bill",
    "busy_minutes",
    "day_report",
    "discount",
    "format_time",
    "free_spans",
    "merge",
    "overlap",
    "parse_members",
    "parse_time",
    "price",
    "split_bill",
]
