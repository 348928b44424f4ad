"""The question which of two candidates is better, to be answered with one letter.

The system message is the task's shared prefix, so a server computes it once for all pairs; then come the candidates of
the pair, and the criterion last, where a small model heeds it most.
"""

from __future__ import annotations

from collections.abc import Mapping

from agent.model.base import Profile
from selection.plain import plain_diff
from selection.prompts.comparison import candidates_shown

LETTERS: tuple[str, ...] = ("A", "B")

_CRITERION = """\
Nothing is executed this time. The better candidate is the one whose code does what the issue asks for in every case, \
its examples and edge cases included. Length and style do not matter. Which candidate is better? Answer with one \
letter, A or B, and nothing else."""


def pair(profile: Profile, diffs: Mapping[str, str]) -> str:
    """The user turn that shows two candidates (letter -> diff), without comments that speak to their judge."""
    shown = {letter: plain_diff(diff) for letter, diff in diffs.items()}
    return f"{candidates_shown(profile, shown)}\n{_CRITERION}"
