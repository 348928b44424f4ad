"""Methods that look at nothing but the patches and their classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from selection.base import ClassId
from selection.draws import Draw
from selection.lines import repeated
from selection.methods.base import Choice, best, by_size, evenly


def random(draw: Draw) -> Choice:
    """Any candidate, those without a patch included: pass@1 of the drawn ones."""
    share = {c: len(members) / draw.count for c, members in draw.classes.items()}
    empty = draw.count - sum(len(members) for members in draw.classes.values())
    return {**share, None: empty / draw.count} if empty else {**share}


def first(draw: Draw) -> Choice:
    """The first candidate that has a patch; candidates come in any order, so each of them is the first alike."""
    return by_size(draw, draw.classes)


def shortest(draw: Draw) -> Choice:
    """The candidate with the shortest diff."""
    return _of_members(draw, {m.id: -len(m.patch) for members in draw.classes.values() for m in members})


def majority_text(draw: Draw) -> Choice:
    """The most frequent patch, letter for letter."""
    texts = Counter(m.patch for members in draw.classes.values() for m in members)
    return _of_members(draw, {m.id: texts[m.patch] for members in draw.classes.values() for m in members})


def majority(draw: Draw) -> Choice:
    """The largest class: patches that are equal up to formatting and comments."""
    return evenly(best(draw.classes, lambda c: len(draw.classes[c])))


def atoms(draw: Draw) -> Choice:
    """The candidate whose added and removed lines are most repeated among the others.

    The mean over its lines of the share of other candidates that have the line. The published system goes on to fuse
    repeated lines into new patches; here it only ranks.
    """
    members = [m for members in draw.classes.values() for m in members]
    return _of_members(draw, dict(zip((m.id for m in members), repeated([m.atoms for m in members]), strict=True)))


def _of_members(draw: Draw, scores: Mapping[str, float]) -> Choice:
    """Evenly over the candidates with the highest score."""
    top = max(scores.values())
    chosen: dict[ClassId | None, float] = {}
    for c, members in draw.classes.items():
        if count := sum(scores[m.id] == top for m in members):
            chosen[c] = float(count)
    total = sum(chosen.values())
    return {c: count / total for c, count in chosen.items()}
