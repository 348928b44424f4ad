"""The vote matrix as a picture: where each script, column, cell and weight is drawn.

Only geometry and words are made here; the markup is `templates/matrix.svg.html`, where everything is escaped.
Units are the SVG's own, one to a CSS pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent.trajectory import ISSUE
from harness.report.text import clean, percent
from harness.result import CellRecord, Result, ScriptRecord

UNEDITED = "unedited"

SYMBOLS = {"passed": "✓", "failed": "✗", "broken": "!", "timed_out": "∞"}
"""A sign beside the colour, for those who cannot tell the colours apart and for prints."""

MEANINGS = {
    "passed": "passed: the script says that the issue is fixed",
    "failed": "failed: the script says that the issue is present",
    "broken": "broken: the script ended in another way and says nothing",
    "timed_out": "timed out: the script did not end",
}

CELL, GAP, LEFT, BAR, HEAD = 30, 4, 172, 64, 26
"""A cell's side, the space between cells, the room for script names, for weights, and for the column heads."""


@dataclass(frozen=True)
class Column:
    id: str
    label: str
    x: int
    winner: bool
    title: str


@dataclass(frozen=True)
class Row:
    id: str
    label: str
    author: str
    y: int
    weight: str
    bar: float
    """Length of the weight's bar; the heaviest script fills the room."""
    title: str


@dataclass(frozen=True)
class Cell:
    x: int
    y: int
    verdict: str
    symbol: str
    own: bool
    """The script's own author made a member of this class, so the cell is no vote."""
    title: str


@dataclass(frozen=True)
class Picture:
    width: int
    height: int
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    weights_x: int
    """Where the bars of the weights begin."""
    cells: tuple[Cell, ...]
    summary: str
    """The picture in one sentence, for those who do not see it."""


def picture(result: Result, columns: Sequence[str], labels: dict[str, str]) -> Picture | None:
    """The picture of a result's matrix, or None when nothing was executed.

    `columns` are the class ids in the order to draw, after the unedited tree; `labels` give scripts and classes
    short names.
    """
    cells = {(cell.script, cell.column): cell for cell in result.matrix}
    scripts = [script for script in result.scripts if any(key[0] == script.id for key in cells)]
    if not scripts:
        return None
    shown = [name for name in (UNEDITED, *columns) if any(key[1] == name for key in cells)]
    authors = _authors(result)
    winner = next((item.class_id for item in result.candidates if item.id == result.winner), None)
    heaviest = max((script.weight for script in scripts), default=0.0) or 1.0
    drawn = [
        Column(
            name,
            "before" if name == UNEDITED else labels.get(name, name),
            LEFT + number * (CELL + GAP) + (10 if number else 0),
            name == winner,
            "The unedited tree" if name == UNEDITED else f"Class {name}",
        )
        for number, name in enumerate(shown)
    ]
    right = (drawn[-1].x if drawn else LEFT) + CELL
    rows = [
        Row(
            script.id,
            labels.get(script.id, script.id),
            _short(clean(script.trajectory)),
            HEAD + number * (CELL + GAP),
            f"{script.weight:.2f}",
            round(max(0.0, script.weight) / heaviest * BAR, 1),
            f"Test script {script.id} {_origin(script)}, weight {script.weight:.2f}",
        )
        for number, script in enumerate(scripts)
    ]
    placed = tuple(
        _cell(cells[row.id, column.id], row, column, script.trajectory in authors.get(column.id, ()))
        for row, script in zip(rows, scripts, strict=True)
        for column in drawn
        if (row.id, column.id) in cells
    )
    return Picture(
        width=right + 14 + BAR + 44,
        height=HEAD + len(rows) * (CELL + GAP),
        columns=tuple(drawn),
        rows=tuple(rows),
        weights_x=right + 14,
        cells=placed,
        summary=_summary(len(rows), len(drawn), placed),
    )


def _authors(result: Result) -> dict[str, set[str]]:
    """Class id -> trajectories without a vote on it: its members', and those that wrote their scripts."""
    owners = {script.id: script.trajectory for script in result.scripts if script.trajectory != ISSUE}
    found: dict[str, set[str]] = {}
    for item in result.candidates:
        if item.class_id:
            mine = {item.trajectory} | ({owners[item.script]} if item.script in owners else set[str]())
            found.setdefault(item.class_id, set()).update(mine)
    return found


def _cell(cell: CellRecord, row: Row, column: Column, own: bool) -> Cell:
    title = f"{row.label} on {column.label}: {MEANINGS[cell.verdict]}"
    if own:
        title += " (no vote: the script is by the same trajectory)"
    last = clean(cell.execution.output, 400).strip().splitlines()[-3:]
    said = "\n".join(["", *last]) if last else ""
    return Cell(column.x, row.y, cell.verdict, SYMBOLS[cell.verdict], own, title + said)


def _origin(script: ScriptRecord) -> str:
    return "from an example of the issue" if script.trajectory == ISSUE else f"by {script.trajectory}"


def _short(name: str, limit: int = 18) -> str:
    return name if len(name) <= limit else name[: limit - 1] + "…"


def _summary(rows: int, columns: int, cells: Sequence[Cell]) -> str:
    passed = sum(cell.verdict == "passed" for cell in cells)
    share = percent(passed / len(cells)) if cells else "none"
    return f"Verdicts of {rows} test scripts on {columns} trees; {share} of the cells passed."
