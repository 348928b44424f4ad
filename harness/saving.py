"""What is said of sampling that ended early: why it did, and what that saved."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from harness.result import SavedRecord, StoppedRecord
from harness.units import money


def why(stopped: StoppedRecord) -> str:
    """Which rule ended sampling, with its figures."""
    chance = int(stopped.chance * 1000) / 1000  # rounded down: a chance is never shown as certainty
    step = stopped.not_worth
    if step is None:
        reason = f"the leader is safe ({chance})"
    else:
        reason = (
            f"{step.candidates} more would cost about {money(step.cost)} and are worth {money(step.worth)} at most "
            f"(the leader is safe with a chance of {chance})"
        )
    return f"{stopped.made} of at most {stopped.asked} candidates: {reason}"


def not_made(stopped: StoppedRecord, count: Callable[[int], str] = "{:,}".format) -> str:
    """How many candidates were not made, and about what that saved. `count` writes whole numbers."""
    left = stopped.asked - stopped.made
    saved = stopped.saved or SavedRecord(candidates=left, completion_tokens=0, money=None)
    return saving(saved, count)


def saving(saved: SavedRecord, count: Callable[[int], str] = "{:,}".format) -> str:
    """The same of an estimate alone, such as a batch's."""
    said = f"{count(saved.candidates)} {'candidate was' if saved.candidates == 1 else 'candidates were'} not made"
    if not saved.completion_tokens:
        return said
    # Two digits: it is an estimate, and more would look like a measurement.
    said += f", which saved about {count(int(float(f'{saved.completion_tokens:.2g}')))} completion tokens"
    return said if saved.money is None else f"{said} and {money(saved.money)}"


def together(saved: Iterable[SavedRecord | None]) -> SavedRecord | None:
    """The sum of what tasks have saved, None where none has; the money of those whose tokens have prices."""
    known = [each for each in saved if each is not None]
    paid = [each.money for each in known if each.money is not None]
    if not known:
        return None
    return SavedRecord(
        candidates=sum(each.candidates for each in known),
        completion_tokens=sum(each.completion_tokens for each in known),
        money=sum(paid) if paid else None,
    )
