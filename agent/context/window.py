"""Packs files into a token budget: whole files while they fit, excerpts of the best ones that do not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from agent.context.outline import excerpt, symbols
from agent.context.ranking import terms
from agent.context.sources import Source, language
from agent.prompts.shared import fenced
from sandbox.base import RepoPath

Count = Callable[[str], int]
"""Estimates the tokens of a text."""

_EXCERPTED = 3
"""Of so many of the best files an excerpt is shown when they do not fit whole."""
_LEAST = 200
"""Tokens below which an excerpt is not worth its heading."""


@dataclass(frozen=True)
class Packed:
    """The blocks of files in their order, rendered; which files are there, and which only in part."""

    text: str
    paths: tuple[RepoPath, ...]
    partial: tuple[RepoPath, ...]
    left_out: tuple[RepoPath, ...]


def counter(chars_per_token: float) -> Count:
    """A `Count` by the profile's characters a token, rounded up."""
    return lambda text: int(len(text) / chars_per_token) + 1


def block(path: str, text: str) -> str:
    """One file as the models see it: its path, then its text between fences longer than any inside."""
    return f"### {path}\n{fenced(text, language(path))}\n"


def pack(files: Sequence[Source], issue: str, budget: int, count: Count) -> Packed:
    """Fill the budget (tokens) with the files, best first; one that does not fit is skipped, not the end.

    Of the best few files that do not fit whole, the functions that share most words with the issue are shown, and
    the signatures of the rest; so the window is empty only where there is no file.
    """
    left = budget
    blocks: list[str] = []
    paths: list[RepoPath] = []
    partial: list[RepoPath] = []
    left_out: list[RepoPath] = []
    for place, file in enumerate(files):
        whole = block(file.path, file.text)
        if count(whole) <= left:
            blocks.append(whole)
            left -= count(whole)
            paths.append(file.path)
            continue
        # A part takes what it can use, but leaves a share to the files after it.
        room = min(left, max(_LEAST, left * 3 // 4 if place == 0 else left // 2))
        part = _part(file, issue, room, count) if place < _EXCERPTED and room >= min(_LEAST, budget) else None
        if part is None:
            left_out.append(file.path)
            continue
        blocks.append(part)
        left -= count(part)
        paths.append(file.path)
        partial.append(file.path)
    return Packed("\n".join(blocks), tuple(paths), tuple(partial), tuple(left_out))


def _part(file: Source, issue: str, room: int, count: Count) -> str | None:
    """An excerpt within the room, with as many of the issue's functions as fit; None when nothing of it fits.

    With the signatures of the rest where these leave room for a function, else the functions alone.
    """
    likely = _by_hits(file, issue)
    for rendered in (excerpt, _bodies):
        wanted: list[str] = []
        best: str | None = None
        for qualified in likely:
            attempt = block(file.path, rendered(file.path, file.text, [*wanted, qualified]))
            if count(attempt) <= room:
                wanted.append(qualified)
                best = attempt
        if best is not None:
            return best
    signatures = block(file.path, excerpt(file.path, file.text, ()))
    return signatures if count(signatures) <= room else _cut(file, likely[:1], room, count)


def _by_hits(file: Source, issue: str) -> list[str]:
    """Functions of a file by how many different words of the issue they hold, the name counting most; at most 12."""
    asked = set(terms(issue))
    lines = file.text.splitlines()
    scored: list[tuple[float, int, str]] = []
    for symbol in symbols(file.path, file.text):
        if symbol.kind == "function":
            inside = set(terms("\n".join(lines[symbol.start : symbol.end]))) & asked
            named = 5 * (symbol.name.lower().strip("_") in asked) + 2 * len(set(terms(symbol.name)) & asked)
            if inside:
                scored.append((-(len(inside) + named), symbol.start, symbol.qualified))
    return [qualified for _, _, qualified in sorted(scored)[:12]]


def _bodies(path: str, text: str, wanted: Collection[str]) -> str:
    """The wanted functions alone, each under its class, with `[...]` for all between them."""
    lines = text.splitlines()
    found = symbols(path, text)
    kept: list[str] = []
    for symbol in found:
        if symbol.qualified in wanted:
            owners = [o for o in found if o.kind == "class" and o.start < symbol.start and symbol.end <= o.end]
            kept += [line for o in owners for line in lines[o.start : o.body] if line.lstrip().startswith("class ")]
            kept += [*lines[symbol.start : symbol.end], "[...]"]
    return "\n".join(["[...]", *kept])


def _cut(file: Source, wanted: Collection[str], room: int, count: Count) -> str | None:
    """The first lines of the best function, or of the file, that fit."""
    lines = (_bodies(file.path, file.text, wanted) if wanted else file.text[:4000]).splitlines()
    low, high = 0, len(lines)
    while low < high:
        middle = (low + high + 1) // 2
        if count(block(file.path, "\n".join([*lines[:middle], "[...]"]))) <= room:
            low = middle
        else:
            high = middle - 1
    return block(file.path, "\n".join([*lines[:low], "[...]"])) if low else None
