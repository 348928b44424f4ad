"""What a method is: a name, the signals it needs, and a choice among the classes of a draw.

A choice is a probability over classes: where a rule leaves a tie to the dice, or to the order in which candidates
happened to come, it is spread evenly over what the rule cannot tell apart. So scores are expectations, and no method
has luck.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from selection.base import ClassId
from selection.draws import Draw, Drawer
from selection.pool import PoolPass

Choice = Mapping[ClassId | None, float]
"""Probabilities that add up to 1. None: the choice falls on a candidate without a patch."""


class Signal(StrEnum):
    """What a method may be made of, beside the candidates' classes."""

    PATCHES = "patches"
    SCRIPTS = "verdicts of checked scripts"
    AUTHORS = "known authors of scripts"
    UNCHECKED = "verdicts of unchecked scripts"
    REGRESSIONS = "the repository's tests"
    PROBES = "outputs of distinguishing inputs"
    JUDGEMENTS = "judgements of pairs"
    COMPARISONS = "comparison trajectories"


@dataclass(frozen=True)
class Asks:
    """What a method puts before the comparison trajectory."""

    shortlist: Callable[[Draw], Sequence[ClassId]]
    """Fewer than two: nothing is compared."""
    single: bool
    """See `selection.pool.PoolComparison`."""

    def recorded(self, draw: Draw) -> tuple[PoolPass, ...]:
        """The passes over the shortlist; none where nothing is to be compared, or nobody did."""
        among = self.shortlist(draw)
        return draw.compared.get((frozenset(among), self.single), ()) if len(among) > 1 else ()


@dataclass(frozen=True)
class Method:
    """A selection method."""

    name: str
    title: str
    source: str
    choose: Callable[[Draw], Choice]
    """Of a draw with at least one class."""
    needs: frozenset[Signal] = frozenset()
    """Without one of them the method is not applicable."""
    uses: frozenset[Signal] = frozenset()
    """What the published rule has as well; where the pool lacks it, the report says that it was left out."""
    asks: Asks | None = None
    """The comparison that it lets choose."""

    def __call__(self, draw: Draw) -> Choice:
        return self.choose(draw) if draw.classes else {None: 1.0}


def signals_of(drawer: Drawer) -> frozenset[Signal]:
    """What is recorded of a task."""
    task = drawer.task
    checked = {s.id for s in drawer.checked}
    there = {
        Signal.PATCHES: any(c.patch for c in task.candidates),
        Signal.SCRIPTS: bool(checked),
        Signal.AUTHORS: bool(drawer.owned),
        Signal.UNCHECKED: bool(set(task.cells) - checked),
        Signal.REGRESSIONS: task.passing > 0 or bool(task.broken),
        Signal.PROBES: bool(task.probes),
        Signal.JUDGEMENTS: bool(task.judgements),
        Signal.COMPARISONS: bool(task.comparisons),
    }
    return frozenset(signal for signal, recorded in there.items() if recorded)


def evenly(classes: Iterable[ClassId]) -> Choice:
    """Each class alike."""
    among = list(classes)
    return {c: 1 / len(among) for c in among}


def by_size(draw: Draw, classes: Iterable[ClassId]) -> Choice:
    """Each candidate of the classes alike."""
    sizes = {c: len(draw.classes[c]) for c in classes}
    total = sum(sizes.values())
    return {c: size / total for c, size in sizes.items()}


def best(classes: Iterable[ClassId], key: Callable[[ClassId], Any]) -> list[ClassId]:
    """The classes with the highest key; floats in it should be rounded."""
    scored = {c: key(c) for c in classes}
    top = max(scored.values())
    return [c for c, score in scored.items() if score == top]
