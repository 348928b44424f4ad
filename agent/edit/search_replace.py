"""Reads search/replace blocks: an explicit parser over lines, and the way each block finds its place.

The form, with markers of seven characters or any longer number, the same for all three of a block:

    path/to/file.py
    <<<<<<< SEARCH
    lines as they are in the file
    =======
    lines to put in their place
    >>>>>>> REPLACE

An empty search part makes a new file; no replacement line deletes the lines; `<<<<<<< DELETE` alone deletes the
file. All blocks are placed in the file as it was before the edit.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from agent.edit.lines import reply_lines
from agent.edit.paths import named_path
from agent.edit.values import EditProblem
from sandbox.base import Tree

FORM = """path/to/file
<<<<<<< SEARCH
the lines as they are in the file now
=======
the lines to put in their place
>>>>>>> REPLACE"""

_OPENER = re.compile(r"^(<{5,})[ \t]*(SEARCH|DELETE)\b[ \t]*(.*?)[ \t]*$")
_CLOSER = re.compile(r"^(>{5,})[ \t]*(?:REPLACE|DELETE)[ \t]*$")
_DIVIDER = re.compile(r"^(={5,})[ \t]*$")
_LONGER = (
    "Write that block with longer markers, the same length for all three: "
    "`<<<<<<<<<< SEARCH`, `==========`, `>>>>>>>>>> REPLACE`."
)


@dataclass(frozen=True)
class Split:
    """One way to read a block: which lines are searched for, and which replace them."""

    search: tuple[str, ...]
    replacement: tuple[str, ...]


@dataclass(frozen=True)
class EditBlock:
    """One block of a reply. More than one split means that a text line looks like the divider."""

    name: str | None
    """The path as the model wrote it; None when it wrote none."""
    splits: tuple[Split, ...]
    delete: bool = False


def has_block(text: str) -> bool:
    """Whether a reply holds at least one block in this form, complete or not."""
    return any(_OPENER.match(line) for line in reply_lines(text))


def parse_blocks(text: str, tree: Tree) -> list[EditBlock] | EditProblem:
    """The blocks of a reply in order. Never raises, whatever the text."""
    lines = reply_lines(text)
    blocks: list[EditBlock] = []
    at = after = 0
    name: str | None = None
    while at < len(lines):
        opener = _OPENER.match(lines[at])
        if not opener:
            if _CLOSER.match(lines[at]) and blocks and not blocks[-1].delete:
                return EditProblem(f"Line {at + 1} of your answer is a closing marker without a block. {_LONGER}")
            at += 1
            continue
        name = _name(lines, after, at, opener[3], tree) or name
        if opener[2] == "DELETE":
            blocks.append(EditBlock(name, (), delete=True))
            at = after = at + 1
            continue
        read = _read_block(lines, at, len(opener[1]))
        if isinstance(read, EditProblem):
            return read
        splits, at = read
        after = at
        blocks.append(EditBlock(name, splits))
    if not blocks:
        return EditProblem(f"No edit was found in your answer. Write it in this form:\n\n{FORM}")
    return blocks


def _name(lines: Sequence[str], after: int, at: int, inline: str, tree: Tree) -> str | None:
    """The path on the opening marker's line, or on one of the last three written lines before it."""
    if inline:
        return named_path(inline, tree) or inline
    before = [line for line in lines[after:at] if line.strip() and not _CLOSER.match(line)][-3:]
    for line in reversed(before):
        stripped = line.strip()
        if stripped.startswith(("```", "~~~")):
            words = re.split(r"[\s:=,{}]+", stripped.lstrip("`~"))
            found = next((word for word in words[:4] if "." in word and named_path(word, tree)), None)
        else:
            found = named_path(line, tree)
        if found:
            return found
    return _odd_path(before[-1], tree) if before else None


def _odd_path(line: str, tree: Tree) -> str | None:
    """A path of an unusual kind right before the marker: one word with a slash or a dot, or a folder."""
    word = line.strip().strip("`*:")
    odd = "/" in word or "." in word.rstrip(".") or any(path.startswith(f"{word}/") for path in tree)
    return word if word and " " not in word and odd and not word.startswith(("```", "~~~")) else None


def _read_block(lines: Sequence[str], at: int, length: int) -> tuple[tuple[Split, ...], int] | EditProblem:
    """The ways to read the block opened at `at`, and the line after it."""
    following = next((n for n in range(at + 1, len(lines)) if _marks(_OPENER, lines[n], length)), len(lines))
    closers = [n for n in range(at + 1, len(lines)) if _marks(_CLOSER, lines[n], length)]
    inside = [n for n in closers if n < following]
    if not inside:
        # A marker of another length may close a block that would otherwise have no end at all.
        following = next((n for n in range(at + 1, len(lines)) if _OPENER.match(lines[n])), len(lines))
        inside = [n for n in range(at + 1, following) if _CLOSER.match(lines[n])]
    if not inside and following < len(lines):
        return EditProblem(
            f"The block that begins on line {at + 1} of your answer has no end (`{'>' * length} REPLACE`) before the "
            f"next one begins. Write its end, or, if text lines in it look like markers: {_LONGER}"
        )
    if not inside:
        return EditProblem(
            f"The block that begins on line {at + 1} of your answer has no end (`{'>' * length} REPLACE`): "
            "the answer was cut off, or the marker is missing. Write the whole block again, as short as it can be."
        )
    dividers = [n for n in range(at + 1, inside[-1]) if _marks(_DIVIDER, lines[n], length)]
    if not dividers:
        loose = [n for n in range(at + 1, inside[0]) if _DIVIDER.match(lines[n])]
        if len(loose) != 1:
            return EditProblem(
                f"The block that begins on line {at + 1} of your answer has no dividing line `{'=' * length}` between "
                f"the lines to find and the lines to put in their place. The form is:\n\n{FORM}"
            )
        dividers = loose
    closing = [n for n in inside if n > dividers[0]]
    if len(closing) != 1 or inside[0] < dividers[0]:
        return EditProblem(
            f"In the block that begins on line {at + 1} of your answer, text lines look like its own markers. {_LONGER}"
        )
    end = closing[0]
    splits = [Split(tuple(lines[at + 1 : n]), tuple(lines[n + 1 : end])) for n in dividers if n < end]
    return tuple(splits), end + 1


def _marks(marker: re.Pattern[str], line: str, length: int) -> bool:
    found = marker.match(line)
    return bool(found and len(found[1]) == length)


def render_block(path: str, search: Sequence[str], replacement: Sequence[str]) -> str:
    """A block in this form that is read back exactly, with markers longer than any in the text."""
    longest = 6
    for line in (*search, *replacement):
        for marker in (_OPENER, _CLOSER, _DIVIDER):
            found = marker.match(line)
            longest = max(longest, len(found[1])) if found else longest
    length = longest + 1
    parts = [path, "<" * length + " SEARCH", *search, "=" * length, *replacement, ">" * length + " REPLACE"]
    return "\n".join(parts) + "\n"
