"""Text as lines that remember their own ending, so that an edit changes no byte it does not mean to.

Only LF and CRLF end a line. Form feeds, lone carriage returns and Unicode separators, at which `str.splitlines`
would split, are ordinary characters here, as they are to git.
"""

from __future__ import annotations

import difflib
import io
import tokenize
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

BOM = "\ufeff"


@dataclass(frozen=True)
class Line:
    """A line: its text, and its ending: LF, CRLF, or nothing on a last line without one."""

    text: str
    end: str


@dataclass(frozen=True)
class Source:
    """A file as text. `render` gives back the very bytes for the very lines."""

    lines: tuple[Line, ...]
    encoding: str
    bom: bool

    @property
    def texts(self) -> list[str]:
        return [line.text for line in self.lines]

    @property
    def newline(self) -> str:
        """The ending that most lines have; LF in a tie or without any."""
        counts = Counter(line.end for line in self.lines if line.end)
        return "\r\n" if counts["\r\n"] > counts["\n"] else "\n"

    def render(self, lines: Sequence[Line]) -> bytes:
        """The bytes of other lines, in this file's encoding. Raises UnicodeEncodeError."""
        text = (BOM if self.bom else "") + "".join(line.text + line.end for line in lines)
        errors = "surrogateescape" if self.encoding == "utf-8" else "strict"
        return text.encode(self.encoding, errors)


def read_source(content: bytes) -> Source:
    """Decode a file: UTF-8, else the encoding its first lines declare, else UTF-8 with the odd bytes kept."""
    text, encoding = _decoded(content)
    bom = text.startswith(BOM)
    return Source(tuple(split_lines(text[1:] if bom else text)), encoding, bom)


def _decoded(content: bytes) -> tuple[str, str]:
    try:
        return content.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        pass
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
        text = content.decode(encoding)
        if text.encode(encoding) == content:
            return text, encoding
    except (SyntaxError, LookupError, ValueError):
        pass
    return content.decode("utf-8", "surrogateescape"), "utf-8"


def split_lines(text: str) -> list[Line]:
    """The lines of a text. "a\\n" is one line, "a\\nb" two, "" none."""
    parts = text.split("\n")
    lines = [Line(part[:-1], "\r\n") if part.endswith("\r") else Line(part, "\n") for part in parts[:-1]]
    return [*lines, Line(parts[-1], "")] if parts[-1] else lines


def reply_lines(text: str) -> list[str]:
    """The lines of a model's reply, without their endings."""
    return [line.text.removesuffix("\r") if not line.end else line.text for line in split_lines(text)]


def replace_lines(lines: Sequence[Line], start: int, stop: int, texts: Sequence[str], newline: str) -> list[Line]:
    """`lines` with those from `start` to `stop` replaced by `texts`.

    Lines that stay keep their endings, new ones get that of the line they replace or follow. Whether the file
    ends with a newline does not change.
    """
    old = lines[start:stop]
    made: list[Line] = []
    matcher = difflib.SequenceMatcher(None, [line.text for line in old], list(texts), autojunk=False)
    for _tag, old_from, _old_to, new_from, new_to in matcher.get_opcodes():
        for number in range(new_from, new_to):
            like = old_from + number - new_from if old_from + number - new_from < len(old) else len(old) - 1
            end = old[like].end if old else (lines[start - 1].end if start else newline)
            made.append(Line(texts[number], end or newline))
    result = [*lines[:start], *made, *lines[stop:]]
    if not lines or not result:
        return result
    open_end = not lines[-1].end
    fixed = [line if line.end else Line(line.text, newline) for line in result[:-1]]
    last = result[-1]
    return [*fixed, Line(last.text, "" if open_end else last.end or newline)]
