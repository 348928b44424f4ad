"""Methods that ask a model about pairs of classes; here they read its recorded judgements."""

from __future__ import annotations

from collections.abc import Iterable

from selection.base import ClassId
from selection.draws import Draw
from selection.methods.base import Choice, best, evenly
from selection.methods.votes import codemonkeys_filter


def tournament(draw: Draw) -> Choice:
    """Copeland: the class that wins most pairs; a pair that is even, or was not judged, is half a win for each."""
    return evenly(best(draw.classes, lambda c: _wins(draw, c)))


def model_choice(draw: Draw) -> Choice:
    """The class that the model prefers most, in the mean over all others.

    Stands for one completion that chooses among all candidates: the recorded judgements are of pairs.
    """
    return _preferred(draw, draw.classes)


def model_choice_of_three(draw: Draw) -> Choice:
    """The same, among the three classes that CodeMonkeys' vote filter leaves."""
    return _preferred(draw, codemonkeys_filter(draw))


def trae(draw: Draw) -> Choice:
    """Pruned by the repository's tests, equal patches once, then the class that repeated selections agree on.

    Repetitions that stop at a majority tend to the most preferred class: that is the one chosen here.
    """
    return _preferred(draw, draw.least_broken)


def preference(draw: Draw, c: ClassId, among: Iterable[ClassId]) -> float:
    """The mean chance, as judged, that the class is better than each of the others; 0.5 where none was judged."""
    known = [draw.judged[c, other] for other in among if other != c and (c, other) in draw.judged]
    return round(sum(known) / len(known), 9) if known else 0.5


def _preferred(draw: Draw, among: Iterable[ClassId]) -> Choice:
    rivals = list(among)
    return evenly(best(rivals, lambda c: preference(draw, c, rivals)))


def _wins(draw: Draw, c: ClassId) -> float:
    chances = [draw.judged.get((c, other), 0.5) for other in draw.classes if other != c]
    return sum((chance > 0.5) + 0.5 * (chance == 0.5) for chance in chances)
