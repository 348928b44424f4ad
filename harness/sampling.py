"""Whether sampling ends early, and what that saves.

The rules are those of `selection.stopping`. What candidates have cost is read from the journal, and only of the
trajectories that had run by then: a run that goes on, however far it was, reads the same and decides alike.
"""

from __future__ import annotations

from agent.context.gather import Context
from agent.propose import Proposed, names_of
from harness.config import Settings
from harness.result import SavedRecord, StepRecord, StoppedRecord, UsageRecord
from harness.run import Run
from harness.saving import why
from sandbox.base import Sandbox
from selection.stopping import costs_more, gain, is_safe, lead, steps_to
from selection.voted import vote

UNPRICED = "selection.worth is without effect: the model's tokens have no price (profile.price, paths.prices)"


def steps_of(settings: Settings) -> tuple[int, ...]:
    """Numbers of candidates after which `enough` is asked."""
    return steps_to(settings.candidates, settings.selection.risk, settings.selection.worth)


async def enough(run: Run, context: Context, sandbox: Sandbox, made: int, proposed: Proposed) -> bool:
    """Whether no more candidates are made, because the leader of the votes is safe or more would cost too much.

    The repository's own tests are not asked: their veto comes with the choice.
    """
    parallel, recorder = run.settings.sandbox.parallel, run.recorder
    candidates, scripts = proposed.candidates, proposed.scripts
    voted = await vote(candidates, scripts, sandbox, context.tree, run.limits, parallel, recorder)
    chance = lead(voted.standings, len(voted.filled.matrix.scripts))
    spent = run.journal.usage(names_of(made))["total"]
    if run.settings.selection.worth is not None and not spent.money and UNPRICED not in run.warnings:
        run.warnings = (*run.warnings, UNPRICED)
        run.watcher.said("candidates", f"warning: {UNPRICED}")
    run.stopped = decide(run.settings, made, chance, spent)
    if run.stopped is None:
        return False
    recorder.note("stopped", run.stopped.model_dump())
    run.watcher.said("candidates", why(run.stopped))
    return True


def decide(settings: Settings, made: int, chance: float, spent: UsageRecord) -> StoppedRecord | None:
    """Why sampling ends after a step, None where it goes on.

    `chance`: that the leader's group is the most frequent one; `spent`: by the trajectories that have run.
    """
    asked, worth = settings.candidates, settings.selection.worth
    saved = _share(spent, asked - made, made)
    if is_safe(chance, settings.selection.risk):
        return StoppedRecord(made=made, asked=asked, chance=chance, saved=saved)
    step = next(after for after in (*steps_of(settings), asked) if after > made) - made
    cost = _share(spent, step, made).money or 0.0
    if worth is None or not costs_more(chance, worth, cost):
        return None
    not_worth = StepRecord(candidates=step, cost=cost, worth=gain(chance, worth))
    return StoppedRecord(made=made, asked=asked, chance=chance, not_worth=not_worth, saved=saved)


def _share(spent: UsageRecord, candidates: int, made: int) -> SavedRecord:
    """What so many candidates would cost, each as much as the mean of those made."""
    return SavedRecord(
        candidates=candidates,
        completion_tokens=round(spent.completion_tokens * candidates / made),
        money=spent.money * candidates / made if spent.money else None,
    )
