"""Where the lines of a search part stand in a file: the ladder from an exact match to what can only be shown back."""

from __future__ import annotations

import difflib
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Shift = Callable[[str], str | None]
"""Turns a line of the model into a line of the file; None where that cannot be done."""


@dataclass(frozen=True)
class Match:
    """Lines `start` to `stop` of the file, to be replaced by `replacement`."""

    start: int
    stop: int
    replacement: tuple[str, ...]


@dataclass(frozen=True)
class Several:
    """Found more than once; `lines` are the 1-based first lines."""

    lines: tuple[int, ...]


@dataclass(frozen=True)
class Near:
    """Not found. `places` are the most alike: first line (0-based), last line, and how alike they are."""

    places: tuple[tuple[int, int, float], ...]
    whitespace_only: bool = False
    """The first place differs in nothing but white space."""


Found = Match | Several | Near


def find(lines: Sequence[str], search: Sequence[str], replacement: Sequence[str]) -> Found:
    """Find the one place of `search`; `search` has at least one line that is not blank.

    Lines that differ in white space are taken only where a single change of indentation explains every line,
    and then the replacement is indented the same way.
    """
    exact = _occurrences(lines, search)
    if len(exact) == 1:
        return Match(exact[0], exact[0] + len(search), tuple(replacement))
    if exact:
        return Several(tuple(start + 1 for start in exact))
    search, replacement = _without_outer_blanks(search, replacement)
    exact = _occurrences(lines, search)
    if len(exact) == 1:
        return Match(exact[0], exact[0] + len(search), tuple(replacement))
    folded = exact or _occurrences([line.strip() for line in lines], [line.strip() for line in search])
    if len(folded) > 1:
        return Several(tuple(start + 1 for start in folded))
    if folded:
        start, stop = folded[0], folded[0] + len(search)
        shifted = reindented(search, lines[start:stop], replacement)
        if shifted is not None:
            return Match(start, stop, shifted)
        return Near(((start, stop, 1.0),), whitespace_only=True)
    return Near(tuple(_nearest(lines, search)))


def _occurrences(lines: Sequence[str], search: Sequence[str]) -> list[int]:
    if not search:
        return []
    wanted, size = list(search), len(search)
    # Compare on the rarest line first: files repeat blank lines and closing brackets.
    counts = Counter(lines)
    anchor = min(range(size), key=lambda n: counts[wanted[n]])
    text = wanted[anchor]
    starts = (number - anchor for number, line in enumerate(lines) if line == text)
    return [s for s in starts if s >= 0 and list(lines[s : s + size]) == wanted]


def _without_outer_blanks(search: Sequence[str], replacement: Sequence[str]) -> tuple[list[str], list[str]]:
    """Both without the blank lines at the search part's ends, of which models add some."""
    wanted, put = list(search), list(replacement)
    for end in (0, -1):
        while wanted and not wanted[end].strip():
            wanted.pop(end)
            if put and not put[end].strip():
                put.pop(end)
    return wanted, put


def reindented(old: Sequence[str], new: Sequence[str], texts: Sequence[str]) -> tuple[str, ...] | None:
    """`texts` with the one change of indentation that turns all of `old` into `new`; None when there is no such."""
    pairs = [(a, b) for a, b in zip(old, new, strict=True) if a.strip()]
    for shift in _shifts(pairs[0][0], pairs[0][1]):
        if all((made := shift(a)) is not None and made.rstrip() == b.rstrip() for a, b in pairs):
            made_texts = [shift(text) if text.strip() else "" for text in texts]
            if all(made is not None for made in made_texts):
                kept = dict(pairs)
                # A line that the edit leaves alone keeps its own trailing blanks as well.
                return tuple(kept.get(text, made or "") for text, made in zip(texts, made_texts, strict=True))
    return None


def _shifts(old: str, new: str) -> list[Shift]:
    """Ways to turn the indentation of `old` into that of `new`."""
    have, want = indent_of(old), indent_of(new)
    shifts: list[Shift] = []
    if want.endswith(have):
        added = want[: len(want) - len(have)]
        shifts.append(lambda line: added + line)
    if have.endswith(want):
        removed = have[: len(have) - len(want)]
        shifts.append(lambda line: line[len(removed) :] if line.startswith(removed) else None)
    for unit in (4, 2, 8, 3):
        shifts.append(lambda line, unit=unit: with_tabs(line, unit))
        shifts.append(lambda line, unit=unit: with_spaces(line, unit))
    return shifts


def indent_of(line: str) -> str:
    return line[: len(line) - len(line.lstrip(" \t"))]


def with_tabs(line: str, unit: int) -> str | None:
    """The line with its indentation of spaces turned into tabs, `unit` spaces each; None when they do not divide."""
    indent = indent_of(line).replace("\t", " " * unit)
    return "\t" * (len(indent) // unit) + line.lstrip(" \t") if len(indent) % unit == 0 else None


def with_spaces(line: str, unit: int) -> str | None:
    return indent_of(line).replace("\t", " " * unit) + line.lstrip(" \t")


def _nearest(lines: Sequence[str], search: Sequence[str], most: int = 3) -> list[tuple[int, int, float]]:
    """Up to `most` places that hold at least half of the search part's lines, or something much like them."""
    where: defaultdict[str, list[int]] = defaultdict(list)
    for number, line in enumerate(lines):
        if line.strip():
            where[line.strip()].append(number)
    wanted = [line.strip() for line in search]
    votes: Counter[int] = Counter()
    for number, line in enumerate(wanted):
        # A line that is everywhere says nothing of the place.
        for at in where.get(line, [])[:50]:
            votes[at - number] += 1
    if not votes:
        longest = max(range(len(wanted)), key=lambda n: len(wanted[n]))
        pool = list(where)[:20_000]
        for close in difflib.get_close_matches(wanted[longest], pool, n=most, cutoff=0.7):
            votes[where[close][0] - longest] += 1
    scored: list[tuple[float, int]] = []
    for offset, _ in votes.most_common(4 * most):
        start, stop = max(offset, 0), min(offset + len(wanted), len(lines))
        there = "\n".join(line.strip() for line in lines[start:stop])[:4_000]
        scored.append((difflib.SequenceMatcher(None, "\n".join(wanted)[:4_000], there).ratio(), start))
    places: list[tuple[int, int, float]] = []
    for ratio, start in sorted(scored, key=lambda item: (-item[0], item[1])):
        stop = min(start + len(wanted), len(lines))
        if ratio >= 0.6 and all(stop <= begin or start >= end for begin, end, _ in places):
            places.append((start, stop, ratio))
    return places[:most]
