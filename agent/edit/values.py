"""What reading an edit gives: the changes, or a problem that is told to the model."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.base import Changes

MESSAGE_CHARS = 2_000
"""The longest message shown back to a model: it is paid for on every later turn of the trajectory."""


@dataclass(frozen=True)
class Edited:
    """An edit that was read, placed and checked: it changes something, and what parsed before still parses."""

    changes: Changes


@dataclass(frozen=True)
class EditProblem:
    """Why an edit could not be taken. `message` is for the model: what is wrong and what to write instead."""

    message: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", capped(self.message))


EditResult = Edited | EditProblem


def capped(text: str, limit: int = MESSAGE_CHARS) -> str:
    """The text, its middle left out when it is longer than `limit` characters."""
    if len(text) <= limit:
        return text
    gap = "\n[...]\n"
    tail = limit // 4
    return text[: limit - tail - len(gap)] + gap + text[len(text) - tail :]


def first_problems(problems: list[EditProblem], shown: int = 3) -> EditProblem:
    """One problem out of several: the first few, each with an equal share of the room, and how many there are."""
    if len(problems) == 1:
        return problems[0]
    kept = problems[:shown]
    share = (MESSAGE_CHARS - 120) // len(kept)
    more = f"\n\n({len(problems) - len(kept)} more like these.)" if len(problems) > len(kept) else ""
    head = "Nothing was changed, because of several problems.\n\n"
    return EditProblem(head + "\n\n".join(f"- {capped(item.message, share)}" for item in kept) + more)
