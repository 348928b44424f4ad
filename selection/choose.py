"""Selection: from candidates and test scripts to one patch, with reasons and a confidence.

    candidates -> classes -> vote matrix -> the repository's own tests veto -> weights -> votes
               -> probes, where the votes leave it open or cannot tell the leader from others -> shortlist
               -> comparison, where the votes leave it open -> ranking, winner

What probes may do. They order the classes that no script tells from the leader (its twins) among themselves, by
consensus; a vote they never overrule. What passes more of the issue's own examples comes before all of that.

What a comparison may do. It is asked only when the votes are not decisive, and its choice (most passes over different
orders name it, and an executed script showed a difference) moves a class to the front only if the class trails the
leader by at most `Rule.overrule` of the leader's score: a clear vote stands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from agent.context.gather import Context
from agent.model.base import Model
from agent.task import Task
from agent.trajectory import ISSUE, Candidate, Recorder, ScriptId, TestScript
from sandbox.base import UNEDITED, Limits, Sandbox
from selection.base import Comparison, PatchClass, Probe, Regressions, Selection, VoteMatrix
from selection.comparison import compare
from selection.confidence import Signals, confidence, met
from selection.consensus import agreement_of, by_agreement, in_doubt
from selection.matrix import Filled, examples_passed
from selection.probes import probe
from selection.reasons import explain
from selection.regression import regressions, vetoes
from selection.vote import Standing, margin
from selection.voted import vote


@dataclass(frozen=True)
class SelectionSettings:
    """What selection may spend."""

    shortlist: int = 3
    """Classes that go to the comparison, at most."""
    comparison_turns: int | None = None
    """Completions of one comparison pass, at most; 0 leaves the comparison out, None: as the model's profile says."""
    seed: int = 0
    limits: Limits = field(default_factory=Limits)
    """Of one execution of a test script."""
    regression_seconds: float = 120.0
    """For all runs of the repository's own tests together; 0 leaves them out."""
    probes: int = 64
    """Calls with recorded and varied arguments that each class in doubt is asked for, at most; 0 leaves them out."""
    parallel: int = 2
    """Executions at a time."""


@dataclass(frozen=True)
class Rule:
    """When the votes decide alone, and what a comparison may overrule."""

    decisive: float
    """A leader ahead of the best class unlike it by this part of its score needs no comparison."""
    overrule: float
    """A class that trails the leader by more than this part of its score is never moved to the front."""
    twins: bool
    """Whether classes that no script can tell from the leader are a question worth a comparison."""


RULES: Mapping[Literal["asserts", "exit_codes"], Rule] = {
    # A small model's judgement is weak, and where votes speak they are right: on the recorded pool 96 % of leaders with
    # most votes and a margin of 0.25, and 98 % of those whose only rivals are twins. What is lost, is lost where every
    # script rejects every class: there a comparison can add something and overrule no vote, because none was cast.
    "asserts": Rule(decisive=0.25, overrule=0.0, twins=False),
    # A strong model's selection trajectory added 4.4 points to the votes of CodeMonkeys (reference: figure 6), and
    # with strong models most votes tie (Kozuchi: 61 % of issues).
    "exit_codes": Rule(decisive=0.5, overrule=0.5, twins=True),
}


async def choose(
    task: Task,
    context: Context,
    candidates: Sequence[Candidate],
    scripts: Sequence[TestScript],
    sandbox: Sandbox,
    model: Model,
    settings: SelectionSettings,
    recorder: Recorder,
) -> Selection:
    """Choose the final patch. Without candidates the selection has no winner; nothing a candidate does raises.

    Raises DiskFull, and SandboxLost or SandboxTimeout when not even the candidates' files can be read.
    """
    if not any(candidate.patch.strip() for candidate in candidates):
        return _nothing("No trajectory made a patch that applies." if not candidates else "Every patch was empty.")
    voted = await vote(candidates, scripts, sandbox, context.tree, settings.limits, settings.parallel, recorder)
    classes, filled, weights, everyone = voted.classes, voted.filled, voted.weights, voted.standings
    alive = [c for c in classes if c.id not in filled.rejected]
    if not alive:
        return _nothing("No candidate's patch applies and changes more than formatting or comments.", filled)
    found = await _regressions(task, context, alive, sandbox, settings, recorder)
    broken, note = vetoes(found, [c.id for c in alive])
    vetoed = {**filled.rejected, **broken}
    ranked = [standing for standing in everyone if standing.id not in vetoed]
    recorder.note("votes", {s.id: {"votes": s.votes, "alike": s.alike, "size": s.size} for s in everyone})

    comparison: Comparison | None = None
    rule = RULES[model.profile.script_style]
    turns = model.profile.comparison_turns if settings.comparison_turns is None else settings.comparison_turns
    left_open = not decisive(ranked, rule)
    by_id = {c.id: c for c in classes}
    doubtful = in_doubt(ranked, settings.shortlist if left_open else 0)
    probes = await _probes(task.issue, [by_id[c] for c in doubtful], scripts, context, sandbox, settings, recorder)
    agreement = agreement_of(ranked, doubtful, probes)
    ranked = by_agreement(ranked, agreement)
    shortlist = tuple(standing.id for standing in ranked[: max(1, settings.shortlist)])
    if turns > 0 and left_open:
        comparison = await compare(
            task,
            context,
            [by_id[c] for c in shortlist],
            sandbox,
            model,
            probes=probes,
            turns=turns,
            seed=settings.seed,
            limits=settings.limits,
            parallel=settings.parallel,
            recorder=recorder,
        )
    order = after_comparison(ranked, comparison, rule)
    best = next(c for c in classes if c.id == order[0].id)
    # The member whose patch ran: another one differs in comments or formatting, but nobody has seen that one run.
    winner = next((member for member in best.members if member.patch == best.patch), best.members[0])
    # Without a script no class can be told from any other, which is no agreement.
    alike = order[0].alike if filled.matrix.scripts else order[0].size
    fails_before = any(script.trajectory == ISSUE and not script.guard for script in filled.matrix.scripts)
    example = met(order[0], fails_before=fails_before)
    sure = confidence(_signals(best, order, found, comparison, winner, alike / (len(candidates) + 1), example))
    recorder.note("selection", {"winner": winner.id, "class": best.id, "confidence": sure})
    return Selection(
        winner=winner.id,
        patch=winner.patch,
        confidence=sure,
        reasons=explain(
            best,
            order,
            found,
            note,
            comparison,
            vetoed,
            winner,
            len(candidates),
            probes=len(probes),
            agreement=agreement,
            scripts=len(filled.matrix.scripts),
            examples=examples_passed(filled.matrix, best.id),
            left_out=len(candidates) - sum(len(c.members) for c in classes),
            moved=order != ranked,
            uncompared=left_open and settings.comparison_turns is None and turns == 0,
        ),
        ranking=tuple(standing.id for standing in order),
        matrix=filled.matrix,
        weights=_all_weights(scripts, filled.matrix, weights),
        votes={c.id: next((s.votes for s in everyone if s.id == c.id), 0.0) for c in classes},
        regressions=found,
        shortlist=shortlist,
        comparison=comparison,
        probes=probes,
        consensus=agreement,
        vetoed={c.id: vetoed[c.id] for c in classes if c.id in vetoed},
    )


def decisive(ranked: Sequence[Standing], rule: Rule) -> bool:
    """Whether the votes decide alone: no rival, or a leader that most votes are for and that is far enough ahead."""
    if len(ranked) < 2:
        return True
    if ranked[0].votes <= 0.5 or (rule.twins and ranked[1].twin == ranked[0].twin):
        return False
    return margin(ranked) >= rule.decisive


def after_comparison(ranked: Sequence[Standing], comparison: Comparison | None, rule: Rule) -> list[Standing]:
    """The order after the comparison has spoken: its choice first, unless the votes are clearly against it."""
    chosen = next((s for s in ranked if comparison is not None and s.id == comparison.choice), None)
    if chosen is None or chosen.unmet > ranked[0].unmet:
        return list(ranked)
    if ranked[0].score - chosen.score > rule.overrule * ranked[0].score:
        return list(ranked)
    return [chosen, *(s for s in ranked if s.id != chosen.id)]


async def _probes(
    issue: str,
    classes: Sequence[PatchClass],
    scripts: Sequence[TestScript],
    context: Context,
    sandbox: Sandbox,
    settings: SelectionSettings,
    recorder: Recorder,
) -> tuple[Probe, ...]:
    if settings.probes <= 0 or not classes:
        return ()
    recorder.stage("probes", 0, len(classes))
    found = await probe(
        issue,
        scripts,
        classes,
        context.tree,
        sandbox,
        most=settings.probes,
        seed=settings.seed,
        limits=settings.limits,
        parallel=settings.parallel,
    )
    recorder.stage("probes", len(classes), len(classes))
    recorder.note("probes", {"classes": [c.id for c in classes], "separate": len(found)})
    return found


async def _regressions(
    task: Task,
    context: Context,
    classes: Sequence[PatchClass],
    sandbox: Sandbox,
    settings: SelectionSettings,
    recorder: Recorder,
) -> Regressions:
    if settings.regression_seconds <= 0:
        return Regressions("", (), (), {}, "The repository's tests were left out.")
    return await regressions(
        task, context.tree, classes, sandbox, settings.regression_seconds, settings.parallel, recorder
    )


def _signals(
    best: PatchClass,
    order: Sequence[Standing],
    found: Regressions,
    comparison: Comparison | None,
    winner: Candidate,
    share: float,
    example: bool | None,
) -> Signals:
    return Signals(
        votes=order[0].votes,
        voters=order[0].voters,
        margin=margin(order),
        share=share,
        own_script=winner.passes_own_script,
        example=example,
        broken=bool(found.broken.get(best.id)),
        agreed=None if comparison is None else comparison.choice == best.id,
    )


def _all_weights(
    scripts: Sequence[TestScript], matrix: VoteMatrix, weights: Mapping[ScriptId, float]
) -> dict[ScriptId, float]:
    """A weight for every script: one that shares its source with another shares its weight; one without a row has 0."""
    by_source = {s.source: weights[s.id] for s in matrix.scripts if s.id in weights}
    rows = {s.id for s in matrix.scripts}
    return {s.id: by_source.get(s.source, 0.0) if s.id in rows else 0.0 for s in scripts}


def _nothing(reason: str, filled: Filled | None = None) -> Selection:
    matrix = filled.matrix if filled else VoteMatrix((), (), {})
    return Selection(
        winner=None,
        patch=UNEDITED,
        confidence=0.0,
        reasons=(reason,),
        ranking=(),
        matrix=matrix,
        weights={s.id: 0.0 for s in matrix.scripts},
        votes={c.id: 0.0 for c in matrix.classes},
        regressions=Regressions("", (), (), {}, "There was no candidate to test."),
        vetoed=dict(filled.rejected) if filled else {},
    )
