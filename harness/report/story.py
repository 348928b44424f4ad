"""What happened and what to do next, in plain sentences, for every status a run can end with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.report.text import clean, percent, plural
from harness.result import Result, Status

Tone = Literal["good", "wary", "bad"]


@dataclass(frozen=True)
class Story:
    headline: str
    tone: Tone
    symbol: str
    happened: str
    advice: tuple[str, ...]
    log: str = ""
    """The tail of what failed, where something did."""


def tell(result: Result) -> Story:
    """The story of a result."""
    confidence = result.confidence or 0.0
    candidates = plural(len(result.candidates), "candidate")
    match result.status:
        case Status.SELECTED:
            return Story(
                "A patch was chosen",
                "good" if confidence >= 0.5 else "wary",
                "✓",
                f"{result.winner} was chosen out of {candidates} with a confidence of {percent(confidence)}.",
                ()
                if confidence >= 0.5
                else (
                    "The evidence is thin: read the patch and the reasons below before you use it.",
                    "More candidates (--candidates) or a stronger model (--model) give the votes more to work with.",
                ),
            )
        case Status.NO_CANDIDATE:
            return Story(
                "No candidate",
                "bad",
                "∅",
                "Every trajectory ended without a patch that applies, so there was nothing to choose from.",
                (
                    "The trajectories below show what the model tried and what it was told.",
                    "An issue that names the function and one wrong example helps small models most.",
                    "Raise --candidates or --turns, or use a stronger model (--model).",
                ),
            )
        case Status.ABSTAINED:
            return Story(
                "No patch is trusted enough",
                "wary",
                "?",
                f"There is {candidates}, but the best reaches a confidence of {percent(confidence)}, "
                "which is below --min-confidence."
                if len(result.candidates) == 1
                else f"There are {candidates}, but the best reaches a confidence of {percent(confidence)}, "
                "which is below --min-confidence.",
                (
                    "The candidates are below, best first: one of them may still be right.",
                    "Raise --candidates for more evidence, or lower --min-confidence to accept this one.",
                ),
            )
        case Status.INTERRUPTED:
            return Story(
                "Interrupted",
                "wary",
                "‖",
                f"The run was stopped before it was done; {candidates} had been made by then."
                + (" The best so far is shown." if result.winner else ""),
                ("Run the same command with the same --out: it goes on where it stopped and repeats nothing.",),
            )
        case Status.BUDGET_SPENT:
            return Story(
                "The budget was spent",
                "wary",
                "‖",
                "The budget ended before there was a candidate.",
                ("Run the same command with the same --out and a higher --budget: what was paid for is kept.",),
            )
        case Status.FAILED:
            error = result.error
            return Story(
                "The run failed",
                "bad",
                "✗",
                clean(error.message, 4_000) if error else "Something that the run needs failed.",
                (
                    "`bestpatch doctor` checks Docker, disk, model and registries, and says how to mend each.",
                    "Run the same command with the same --out afterwards: what was finished is kept.",
                ),
                clean(error.log, 12_000).strip() if error else "",
            )
