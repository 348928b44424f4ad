"""Makes text of strangers fit to be shown: no control sequences, no invisible direction marks, no endless output."""

from __future__ import annotations

import re

SHOWN_CHARS = 20_000
"""Characters kept of one text; a report holds hundreds of texts and must open on a phone."""

_ESCAPES = re.compile(
    r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # operating system commands: titles, hyperlinks
    r"|\x1b[PX^_].*?(?:\x1b\\|$)"  # device control, privacy and application strings
    r"|[\x1b\x9b]\[?[0-9;:?<=>]*[ -/]*[@-~]"  # colours, cursor movements
)

_CONTROLS = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]"
)
"""What no browser shows, and the marks that reorder text so that code reads as other code (CVE-2021-42574)."""

_PLAIN = re.compile("[\\x20-\\x7e\\n\\t]*")
"""Text that nothing is the matter with: most of it."""


def clean(text: str, limit: int = SHOWN_CHARS) -> str:
    """The text without terminal sequences and invisible characters, its middle left out beyond `limit` characters."""
    # Asked of every value in a report; most are one line, for which the first question is the quicker one.
    if len(text) <= limit and ((text.isascii() and text.isprintable()) or _PLAIN.fullmatch(text)):
        return text
    # Cut before the substitutions: their time must not depend on how much a hostile program printed.
    if len(text) > 4 * limit:
        text = _shorten(text, 4 * limit)
    text = _ESCAPES.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    text = _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text)
    text = text.encode("utf-8", "replace").decode("utf-8")  # lone surrogates cannot be written to a file
    return _shorten(text, limit)


def _shorten(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n… {len(text) - 2 * half:,} characters left out …\n{text[-half:]}"


def first_line(text: str, limit: int = 120) -> str:
    """The first line that says something, without Markdown's heading marks: a title for the text."""
    for line in clean(text, 4 * limit).splitlines():
        title = line.strip().lstrip("#").strip()
        if title:
            return title if len(title) <= limit else title[: limit - 1].rstrip() + "…"
    return ""


def seconds(value: float) -> str:
    """Seconds for people: `0.4 s`, `12 s`, `3 min 20 s`, `1 h 05 min`."""
    if value < 9.95:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def count(value: int) -> str:
    """A whole number with thin spaces between thousands."""
    return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def energy(joules: float) -> str:
    """Energy for people: `84 Wh`, `1.2 kWh`."""
    hours = joules / 3600
    return f"{hours:.2g} Wh" if hours < 10 else f"{hours:.0f} Wh" if hours < 1000 else f"{hours / 1000:.1f} kWh"


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def plural(number: int, one: str, many: str = "") -> str:
    """`1 candidate`, `3 candidates`."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"
