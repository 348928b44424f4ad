"""What the votes say of candidates: their classes, the vote matrix, and how the classes stand.

Asked for after each step of sampling, and once more to choose. Equal executions run once, so the later one pays only
for cells that are new.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent.given import source_of
from agent.trajectory import Candidate, Recorder, ScriptId, TestScript
from sandbox.base import Limits, Sandbox, Tree
from selection.base import PatchClass
from selection.equivalence import classes_of
from selection.execute import retried
from selection.lines import lines_decide, tie_break
from selection.matrix import Filled, vote_matrix
from selection.vote import Standing, standings
from selection.weights import ballots_of, script_weights


@dataclass(frozen=True)
class Voted:
    """The votes on candidates."""

    classes: tuple[PatchClass, ...]
    filled: Filled
    weights: Mapping[ScriptId, float]
    standings: tuple[Standing, ...]
    """Best first; without the classes whose patch the sandbox refused."""


async def vote(
    candidates: Sequence[Candidate],
    scripts: Sequence[TestScript],
    sandbox: Sandbox,
    tree: Tree,
    limits: Limits,
    parallel: int,
    recorder: Recorder,
) -> Voted:
    """Let the scripts vote. `tree`: the unedited one. Candidates without a patch are in no class.

    Raises DiskFull, and SandboxLost or SandboxTimeout when not even the candidates' files can be read.
    """
    made = [candidate for candidate in candidates if candidate.patch.strip()]
    classes = await retried(lambda: classes_of(made, sandbox=sandbox, tree=tree))
    filled = await vote_matrix(scripts, classes, sandbox, limits, parallel, recorder)
    ballots = ballots_of(filled.matrix, frozenset(filled.rejected))
    weights = script_weights(ballots)
    patches = {c.id: (c.patch, *(member.patch for member in c.members if member.patch != c.patch)) for c in classes}
    shared = lines_decide([source_of(candidate) for candidate in made], voted=bool(ballots.verdicts))
    ranked = standings(ballots, weights, tie_break(patches, shared=shared))
    return Voted(classes, filled, weights, ranked)
