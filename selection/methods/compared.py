"""Methods in which a comparison trajectory chooses from a shortlist; here they read its recorded passes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from selection.base import ClassId, Comparison
from selection.choose import RULES, Rule, after_comparison, decisive
from selection.comparison import majority
from selection.draws import Draw
from selection.methods.base import Asks, Choice, evenly
from selection.methods.votes import codemonkeys_filter, codemonkeys_top, leaders

_SHORTLIST = 3


def machine(draw: Draw) -> Choice:
    """CodeMonkeys' selection machine: what one pass names of the vote filter's three; else the filter's first."""
    passes = MACHINE.recorded(draw)
    named = passes[0].named if passes else None
    return codemonkeys_top(draw) if named is None else {named: 1.0}


def compared(draw: Draw, asks: Asks, rule: Rule) -> Choice:
    """As `selection.choose` ends with a comparison: most passes name a class, and the votes do not forbid it."""
    passes = asks.recorded(draw)
    if not passes:
        return evenly(standing.id for standing in leaders(draw))
    choice = majority([one.choice for one in passes])
    first = after_comparison(list(draw.ranking), Comparison((), choice), rule)[0].id
    return {first: 1.0} if first == choice else evenly(standing.id for standing in leaders(draw))


def _left_open(rule: Rule, draw: Draw) -> Sequence[ClassId]:
    ranked = draw.ranking
    return () if decisive(ranked, rule) else [standing.id for standing in ranked[:_SHORTLIST]]


MACHINE = Asks(codemonkeys_filter, single=True)
SMALL = Asks(partial(_left_open, RULES["asserts"]), single=False)
STRONG = Asks(partial(_left_open, RULES["exit_codes"]), single=False)

compared_small = partial(compared, asks=SMALL, rule=RULES["asserts"])
compared_strong = partial(compared, asks=STRONG, rule=RULES["exit_codes"])
