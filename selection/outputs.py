"""What a script's executions printed, compared: who did the same, what the outputs share and where they differ."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, zip_longest

from sandbox.script import ScriptRun

LINE_CHARS = 300
"""Of a line that differs, from a little before the first difference."""
_BEFORE = 40
_ADDRESS = re.compile(r"\b0x[0-9a-f]{6,}\b")
"""An object's address in a default repr differs between any two processes, and is no difference in behaviour."""


@dataclass(frozen=True)
class Differences:
    """Several outputs as what they share and what each has of its own."""

    alike: str
    """The lines that all have, with a mark where lines differ; "" where they share none."""
    own: tuple[str, ...]
    """Of each output the other lines, numbered where there are lines that all have."""


def behaviour(run: ScriptRun) -> tuple[str, int | None, str]:
    """What of a run counts when two are compared."""
    return run.verdict, run.execution.exit_code, _ADDRESS.sub("0x", run.execution.output)


def differences(outputs: Sequence[str]) -> Differences:
    """Compares line by line from the top, after setting aside the lines that all end with. One pass over the lines:
    outputs are a stranger's, and an alignment that searches can be made to take for ever."""
    texts = [output.strip().split("\n") for output in outputs]
    end = 0
    while end < min(map(len, texts)) and len({text[-1 - end] for text in texts}) == 1:
        end += 1
    tail = texts[0][len(texts[0]) - end :]
    rows = enumerate(zip_longest(*(text[: len(text) - end] for text in texts)), 1)
    alike: list[str] = []
    shared = any(line.strip() for line in tail)
    own: list[list[tuple[int, str]]] = [[] for _ in texts]
    for same, group in groupby(rows, key=lambda item: len(set(item[1])) == 1):
        block = list(group)
        if same:
            alike += [row[0] for _, row in block]
            shared = shared or any(row[0].strip() for _, row in block)
            continue
        first, last = block[0][0], block[-1][0]
        alike.append(f"[line {first} differs]" if first == last else f"[lines {first} to {last} differ]")
        for number, row in block:
            for lines, line in zip(own, _windows(row), strict=True):
                if line is not None:
                    lines.append((number, line))
    return Differences(
        "\n".join([*alike, *tail]) if shared else "",
        tuple("\n".join(f"{number}: {line}" if shared else line for number, line in lines) for lines in own),
    )


def _windows(row: Sequence[str | None]) -> list[str | None]:
    """The lines of a row, long ones cut to where they differ."""
    given = {line for line in row if line is not None}
    if max(map(len, given)) <= LINE_CHARS:
        return list(row)
    shortest = min(map(len, given)) if len(given) > 1 else 0
    shared = next((at for at, found in enumerate(zip(*given, strict=False)) if len(set(found)) > 1), shortest)
    start = max(0, shared - _BEFORE)
    return [None if line is None else _window(line, start) for line in row]


def _window(line: str, start: int) -> str:
    cut = line[start : start + LINE_CHARS]
    return f"{'[...] ' if start else ''}{cut}{' [...]' if start + LINE_CHARS < len(line) else ''}"
