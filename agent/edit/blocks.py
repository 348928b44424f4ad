"""Takes fenced code blocks out of a model's reply, with the file each one names."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from agent.edit.lines import reply_lines
from agent.edit.paths import named_path
from sandbox.base import Tree

_FENCE = re.compile(r"^([ \t]*)(`{3,}|~{3,})[ \t]*([^`]*)$")


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    info: str
    """What stands behind the opening fence, such as `python`."""
    text: str
    """The lines inside, each ended by LF, without the indentation of the opening fence."""
    closed: bool
    before: tuple[str, ...]
    """The reply's lines between the block before this one and this one."""

    @property
    def language(self) -> str:
        """The first word of the info string, in lower case; "" for none."""
        return re.split(r"[\s:{,]", self.info.strip().lower(), maxsplit=1)[0]


def fenced_blocks(text: str, whole: Callable[[str], bool] = lambda text: True) -> list[Block]:
    """The fenced blocks of a reply, in order.

    A fence is closed by a bare fence of the same character, at least as long. Where what stands between does not
    make a `whole` text (say, a docstring holds a fence of its own), a later closing fence that does is taken instead.
    """
    lines = reply_lines(text)
    blocks: list[Block] = []
    at = before = 0
    while at < len(lines):
        opening = _FENCE.match(lines[at])
        if not opening:
            at += 1
            continue
        closings = _closings(lines, at, opening)
        bodies = [_body(lines[at + 1 : closing], opening[1]) for closing in closings]
        chosen = next((number for number, body in enumerate(bodies) if whole(body)), 0)
        end = closings[chosen]
        blocks.append(Block(opening[3].strip(), bodies[chosen], end < len(lines), tuple(lines[before:at])))
        at = before = end + 1
    return blocks


def _closings(lines: list[str], at: int, opening: re.Match[str], most: int = 6) -> list[int]:
    """Where the block opened at `at` may end: its first closing fences, up to the next that opens another block."""
    found: list[int] = []
    for number in range(at + 1, len(lines)):
        fence = _FENCE.match(lines[number])
        if not fence:
            continue
        if fence[3].strip():
            # A fence with an info string opens a block; once ours could have ended, it has.
            if found:
                break
            continue
        if fence[2][0] == opening[2][0] and len(fence[2]) >= len(opening[2]) and len(fence[1]) < len(opening[1]) + 4:
            found.append(number)
            if len(found) == most:
                break
    return found or [len(lines)]


def _body(lines: list[str], indent: str) -> str:
    return "".join(line.removeprefix(indent) + "\n" for line in lines)


def block_path(block: Block, tree: Tree) -> str | None:
    """The file a block names: in its info string, on its first line as a comment, or on the last lines before it."""
    for word in re.split(r"[\s:=,{}]+", block.info):
        name = named_path(word, tree) if "/" in word or "." in word else None
        if name:
            return name
    first = next((line.strip() for line in block.text.split("\n") if line.strip()), "")
    if first.startswith(("#", "//", "/*", "<!--", '"""')):
        name = named_path(first.strip('"'), tree)
        if name:
            return name
    spoken = [line for line in block.before if line.strip()][-2:]
    return next((name for line in reversed(spoken) if (name := named_path(line, tree))), None)


def without_path_line(block: Block, tree: Tree) -> Block:
    """The block without a first comment line that only names its file."""
    lines = block.text.split("\n")
    first = next((number for number, line in enumerate(lines) if line.strip()), None)
    if first is not None and lines[first].strip().startswith("#") and named_path(lines[first], tree):
        return replace(block, text="\n".join(lines[first + 1 :]))
    return block
