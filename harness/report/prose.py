"""Cuts an issue's text into what can be set well: headings, paragraphs, lists and code. Not a Markdown renderer.

Nothing becomes a link or an image, and no text of the issue becomes markup: the template escapes every piece.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from harness.report.text import clean

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_ITEM = re.compile(r"\s{0,3}(?:[-*+]|\d{1,3}[.)])\s+")
_CODE = re.compile(r"(`+)(?!`)(.+?)(?<!`)\1(?!`)")


@dataclass(frozen=True)
class Block:
    kind: Literal["heading", "paragraph", "item", "code"]
    parts: tuple[tuple[str, bool], ...]
    """Text and whether it is code."""


def blocks(text: str) -> tuple[Block, ...]:
    """The blocks of an issue, in order; long texts lose their middle."""
    found: list[Block] = []
    lines = clean(text).expandtabs(4).split("\n")
    position = 0
    while position < len(lines):
        line = lines[position]
        fence = _FENCE.match(line)
        if fence:
            body, position = _fenced(lines, position + 1, fence[1])
            found.append(_code(body))
        elif line.startswith("    ") and line.strip() and not (found and found[-1].kind == "item"):
            body, position = _indented(lines, position)
            found.append(_code(body))
        elif not line.strip():
            position += 1
        elif re.match(r" {0,3}#{1,6} ", line):
            found.append(Block("heading", ((line.strip().strip("#").strip(), False),)))
            position += 1
        else:
            kind = "item" if _ITEM.match(line) else "paragraph"
            body, position = _paragraph(lines, position)
            found.append(Block(kind, tuple(_inline(_ITEM.sub("", body, count=1) if kind == "item" else body))))
    return tuple(found)


def _code(lines: list[str]) -> Block:
    return Block("code", (("\n".join(lines), True),))


def _fenced(lines: list[str], position: int, fence: str) -> tuple[list[str], int]:
    body: list[str] = []
    while position < len(lines):
        line = lines[position].strip()
        position += 1
        if line.startswith(fence) and not line.strip(fence[0]):
            break
        body.append(lines[position - 1])
    return body, position


def _indented(lines: list[str], position: int) -> tuple[list[str], int]:
    body: list[str] = []
    while position < len(lines) and (lines[position].startswith("    ") or not lines[position].strip()):
        body.append(lines[position][4:])
        position += 1
    while body and not body[-1].strip():
        body.pop()
    return body, position


def _paragraph(lines: list[str], position: int) -> tuple[str, int]:
    body = [lines[position].strip()]
    position += 1
    while position < len(lines):
        line = lines[position]
        if not line.strip() or _FENCE.match(line) or _ITEM.match(line) or re.match(r" {0,3}#{1,6} ", line):
            break
        body.append(line.strip())
        position += 1
    return " ".join(body), position


def _inline(text: str) -> Iterator[tuple[str, bool]]:
    position = 0
    for match in _CODE.finditer(text):
        if match.start() > position:
            yield text[position : match.start()], False
        yield match[2], True
        position = match.end()
    if position < len(text):
        yield text[position:], False
