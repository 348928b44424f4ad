"""Methods that filter in stages, each falling back to what was there when nothing would be left."""

from __future__ import annotations

from collections import Counter

from sandbox.script import Verdict
from selection.base import ClassId
from selection.draws import Draw
from selection.methods.base import Choice, best, evenly
from selection.methods.models import preference


def pruned(draw: Draw) -> Choice:
    """Any class of those that break the fewest of the repository's tests."""
    return evenly(draw.least_broken)


def agentless(draw: Draw) -> Choice:
    """Fewest broken tests, then what passes the reproduction test, then the largest class.

    The reproduction test is the one that most scripts equal. The pool has no sources, so scripts count as equal when
    their verdicts on the drawn classes are; tied, each is taken alike. Without a checked script the stage is skipped.
    """
    rows = Counter(tuple(row[c] for c in draw.classes) for row in draw.rows.values())
    most = max(rows.values(), default=0)
    tests = [row for row, count in rows.items() if count == most] or [()]
    chosen: dict[ClassId | None, float] = {}
    for test in tests:
        passing = {c for c, verdict in zip(draw.classes, test, strict=False) if verdict is Verdict.PASSED}
        left = draw.least_broken & passing or draw.least_broken
        for c, chance in evenly(best(left, lambda c: len(draw.classes[c]))).items():
            chosen[c] = chosen.get(c, 0.0) + chance / len(tests)
    return chosen


def r2e_hybrid(draw: Draw) -> Choice:
    """The better half by the verifier, then fewest broken tests, most scripts passed, best by the verifier.

    The verifier's score is the mean judged chance to be better than the others. Of n candidates it keeps the first
    max(3, n / 2), and those that tie with the last of them.
    """
    scores = {c: preference(draw, c, draw.classes) for c in draw.classes}
    everyone = sorted((scores[c] for c, members in draw.classes.items() for _ in members), reverse=True)
    bar = everyone[min(len(everyone), max(3, len(everyone) // 2)) - 1]
    kept = [c for c in draw.classes if scores[c] >= bar]
    return evenly(best(kept, lambda c: (-draw.broken.get(c, 0), draw.votes[c], scores[c])))
