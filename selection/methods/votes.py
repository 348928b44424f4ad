"""Methods that count verdicts of test scripts."""

from __future__ import annotations

from collections import Counter

from sandbox.script import Verdict
from selection.base import ClassId
from selection.draws import Draw
from selection.methods.base import Choice, best, by_size, evenly
from selection.vote import Standing


def checked_vote(draw: Draw) -> Choice:
    """The class that most checked scripts pass, every one with one vote on every class."""
    return evenly(best(draw.classes, draw.votes.__getitem__))


def checked_vote_then_size(draw: Draw) -> Choice:
    """The same; tied, the larger class."""
    return evenly(best(draw.classes, lambda c: (draw.votes[c], len(draw.classes[c]))))


def cross_vote(draw: Draw) -> Choice:
    """The class with the highest share of checked scripts by others than its authors; 0.5 where nobody else wrote."""
    return evenly(best(draw.classes, lambda c: cross_share(draw, c)))


def cross_share(draw: Draw, c: ClassId) -> float:
    """Share of the checked scripts by others that pass the class, 0 to 1."""
    others = [row for script, row in draw.rows.items() if c not in draw.barred[script]]
    return round(sum(row[c] is Verdict.PASSED for row in others) / len(others), 9) if others else 0.5


def behaviour(draw: Draw) -> Choice:
    """Any candidate of the largest group that no checked script can tell apart."""
    sizes = group_sizes(draw)
    return by_size(draw, best(draw.classes, lambda c: sizes[draw.alike[c]]))


def group_sizes(draw: Draw) -> Counter[tuple[Verdict, ...]]:
    """Behaviour -> candidates with it."""
    sizes: Counter[tuple[Verdict, ...]] = Counter()
    for c, members in draw.classes.items():
        sizes[draw.alike[c]] += len(members)
    return sizes


def codet(draw: Draw) -> Choice:
    """Any candidate of the consensus set with the most candidates times the most scripts passed."""
    sizes = group_sizes(draw)
    return by_size(draw, best(draw.classes, lambda c: sizes[draw.alike[c]] * draw.votes[c]))


def all_votes(draw: Draw) -> dict[ClassId, int]:
    """Scripts that pass each class, checked or not, its own authors' included."""
    rows = [*draw.rows.values(), *draw.unchecked.values()]
    return {c: sum(row[c] is Verdict.PASSED for row in rows) for c in draw.classes}


def codemonkeys_vote(draw: Draw) -> Choice:
    """Any candidate that most scripts pass: no script is checked, and each votes for its own author's patch, too."""
    votes = all_votes(draw)
    return by_size(draw, best(draw.classes, votes.__getitem__))


def codemonkeys_filter(draw: Draw) -> list[ClassId]:
    """The top three by votes, then by the shortest diff; in the order of the candidates where those tie."""
    votes = all_votes(draw)
    return sorted(draw.classes, key=lambda c: (-votes[c], draw.lengths[c]))[:3]


def codemonkeys_top(draw: Draw) -> Choice:
    """The front of the vote filter: what the selection machine falls back to when it makes no choice."""
    votes = all_votes(draw)
    return evenly(best(draw.classes, lambda c: (votes[c], -draw.lengths[c])))


def kozuchi(draw: Draw) -> Choice:
    """0.3 of the share of others' scripts passed, 0.7 of the repository's tests still passed; tied, the shortest."""

    def score(c: ClassId) -> tuple[float, int]:
        kept = 1 - draw.broken.get(c, 0) / draw.passing if draw.passing else 1.0
        return round(0.3 * cross_share(draw, c) + 0.7 * kept, 9), -draw.lengths[c]

    return evenly(best(draw.classes, score))


def ours(draw: Draw) -> Choice:
    """Exactly what `selection.choose` ranks first before a comparison; what ties in all of it, alike."""
    return evenly(standing.id for standing in leaders(draw))


def leaders(draw: Draw) -> list[Standing]:
    """The standings at the top of the ranking that only the order of the candidates puts one before the other."""

    def place(standing: Standing) -> tuple[float, ...]:
        agreed = draw.agreement.get(standing.id, 0.0)
        return -standing.unmet, standing.score, standing.alike, agreed, standing.size, draw.ties[standing.id]

    top = place(draw.ranking[0])
    return [standing for standing in draw.ranking if place(standing) == top]
