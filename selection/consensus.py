"""Consensus: how many candidates do what a class does, on inputs that nobody wrote a test for.

The share of candidates whose output equals the class's, as in MBR-exec (arXiv 2204.11454) and the "output clusters" of
S* (arXiv 2502.14382): wrong candidates are wrong in different ways, right ones agree. A pure function of plain values.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from selection.base import ClassId, Probe
from selection.vote import Standing

RAISES = "raises "
"""How an output begins that is an exception; a text that is returned begins with a quote."""
MOST_PROBED = 16
"""Classes that are probed, at most. Of 32 candidates up to 14 are twins that are worth it."""

Outputs = Mapping[ClassId, str]
"""What each class gave for one input; a class without an output is missing."""


def consensus(outputs: Sequence[Outputs], sizes: Mapping[ClassId, int]) -> dict[ClassId, float]:
    """For each class of `sizes`, 0 to 1: the mean over the inputs of the share of candidates with the class's output.

    `sizes` counts candidates. An input weighs 1 minus the chance that two candidates agree on it: one that separates
    nothing weighs nothing. A class without an output agrees with nobody. Empty where no input separates any classes.
    """
    total = sum(sizes.values())
    sums = dict.fromkeys(sizes, 0.0)
    weights = 0.0
    for given in outputs:
        counts: Counter[str] = Counter()
        for c, size in sizes.items():
            if c in given:
                counts[given[c]] += size
        shares = {output: count / total for output, count in counts.items()}
        weight = 1.0 - sum(share * share for share in shares.values())
        if len(shares) < 2:
            continue
        weights += weight
        for c in sizes:
            if c in given:
                sums[c] += weight * shares[given[c]]
    return {c: round(value / weights, 9) for c, value in sums.items()} if weights else {}


def behaviours(outputs: Sequence[Outputs], classes: Sequence[ClassId]) -> dict[ClassId, ClassId]:
    """Class -> the first class that gave the same output for every input, itself where there is none before it."""
    first: dict[tuple[str | None, ...], ClassId] = {}
    return {c: first.setdefault(tuple(given.get(c) for given in outputs), c) for c in classes}


def in_doubt(ranked: Sequence[Standing], shortlist: int) -> tuple[ClassId, ...]:
    """The classes to probe: the leader's twins, and the first `shortlist`. () where that is one class."""
    found = [s.id for place, s in enumerate(ranked) if place < shortlist or s.twin == ranked[0].twin]
    return tuple(found[:MOST_PROBED]) if len(found) > 1 else ()


def agreement_of(
    ranked: Sequence[Standing], probed: Sequence[ClassId], probes: Sequence[Probe]
) -> dict[ClassId, float]:
    """The consensus among the leader's twins; among all that were probed where it has none.

    A call on which any of the classes raises is left out: it is mostly one that the function is not meant for, or says
    nothing beyond what the scripts say (decision 0016 has figures). Where all are left out the votes' order stands.
    """
    sizes = {s.id: s.size for s in ranked if s.id in probed}
    twins = {s.id: s.size for s in ranked if s.id in probed and s.twin == ranked[0].twin}
    meant = [p.outputs for p in probes if not any(text.startswith(RAISES) for text in p.outputs.values())]
    return consensus(meant, twins if len(twins) > 1 else sizes)


def by_agreement(ranked: Sequence[Standing], agreement: Mapping[ClassId, float]) -> list[Standing]:
    """The ranking with the leader's twins, on their places, ordered by consensus; the votes order equal ones."""
    twins = [s for s in ranked if s.twin == ranked[0].twin and s.id in agreement]
    ordered = iter(sorted(twins, key=lambda s: -agreement[s.id]))
    return [next(ordered) if s in twins else s for s in ranked]
