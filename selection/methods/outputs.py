"""Methods that compare what candidates give for the same inputs (probes)."""

from __future__ import annotations

from collections import Counter

from selection.base import ClassId
from selection.draws import Draw
from selection.methods.base import Choice, best, by_size


def mbr_exec(draw: Draw) -> Choice:
    """Any candidate of the least expected loss, where two programs lose 1 when any output of theirs differs.

    That is the largest group of candidates that give the same for every input.
    """
    sizes: Counter[tuple[str, ...]] = Counter()
    for c, members in draw.classes.items():
        sizes[_outputs(draw, c)] += len(members)
    return by_size(draw, best(draw.classes, lambda c: sizes[_outputs(draw, c)]))


def consensus(draw: Draw) -> Choice:
    """Any candidate whose outputs most others share, in the mean over the inputs: the soft form of the same loss."""
    shared = _shared(draw)
    return by_size(draw, best(draw.classes, lambda c: sum(by_class[c] for by_class in shared)))


def distinguishing(draw: Draw) -> Choice:
    """The class that wins most pairs, each decided by the inputs whose outputs differ between the two.

    S* lets a model say which of the two outputs is right; here the majority of the drawn candidates says so.
    """
    shared, outputs = _shared(draw), {c: _outputs(draw, c) for c in draw.classes}

    def wins(c: ClassId) -> float:
        total = 0.0
        for other in draw.classes:
            differ = [n for n, (a, b) in enumerate(zip(outputs[c], outputs[other], strict=True)) if a != b]
            lead = sum(shared[n][c] - shared[n][other] for n in differ)
            total += (lead > 0) + 0.5 * (lead == 0)
        return total

    return by_size(draw, best(draw.classes, wins))


def _outputs(draw: Draw, c: ClassId) -> tuple[str, ...]:
    return tuple(probe.outputs.get(c, f"none of {c}") for probe in draw.probes)


def _shared(draw: Draw) -> list[dict[ClassId, int]]:
    """For each input: class -> candidates that give the same as it."""
    rows: list[dict[ClassId, int]] = []
    for probe in draw.probes:
        counts: Counter[str] = Counter()
        for c, members in draw.classes.items():
            counts[probe.outputs.get(c, f"none of {c}")] += len(members)
        rows.append({c: counts[probe.outputs.get(c, f"none of {c}")] for c in draw.classes})
    return rows
