"""A right and a tempting wrong fix for each example issue: (file, old text, new text)."""

from __future__ import annotations

from pathlib import Path

Fix = tuple[str, str, str]

MERGE = "merged[-1] = (merged[-1][0], end)"
PRICE = "hours = (end - start) // 60\n    return hours * HOURLY[size]"
INIT = "    def __init__(self, name, bookings=[]):\n        self.name = name\n        self.bookings = bookings"
NAMES = 'return [name.strip() for name in text.split(",")]'

RIGHT: dict[str, tuple[Fix, ...]] = {
    "busy-hours": (("studio/spans.py", MERGE, "merged[-1] = (merged[-1][0], max(end, merged[-1][1]))"),),
    "half-hours": (("studio/prices.py", PRICE, "return (end - start) * HOURLY[size] // 60"),),
    "nobody": (("studio/bands.py", NAMES, 'return [name.strip() for name in text.split(",") if name.strip()]'),),
    "shared-room": (
        (
            "studio/rooms.py",
            INIT,
            "    def __init__(self, name, bookings=None):\n        self.name = name\n"
            "        self.bookings = [] if bookings is None else bookings",
        ),
    ),
    "ten-hours": (
        ("studio/bills.py", "hours > 20", "hours >= 20"),
        ("studio/bills.py", "hours > 10", "hours >= 10"),
    ),
}

WRONG: dict[str, tuple[Fix, ...]] = {
    # The enclosed span of the example is handled; one that reaches further no longer is.
    "busy-hours": (("studio/spans.py", MERGE, "pass"),),
    # Right in the first two examples, but no whole number.
    "half-hours": (("studio/prices.py", PRICE, PRICE.replace("//", "/")),),
    # A comma at the end only.
    "nobody": (("studio/bands.py", NAMES, 'return [name.strip() for name in text.strip(",").split(",")]'),),
    # An empty list that was given is kept by no room.
    "shared-room": (("studio/rooms.py", INIT, INIT.replace("= bookings", "= []")),),
    "ten-hours": (("studio/bills.py", "hours > 10", "hours >= 10"),),
}


def apply(repository: Path, fixes: tuple[Fix, ...]) -> None:
    """Change the files of a copy of the example; each old text must be there once."""
    for name, old, new in fixes:
        file = repository / name
        text = file.read_text("utf-8")
        assert text.count(old) == 1, (name, old)
        file.write_text(text.replace(old, new), "utf-8")
