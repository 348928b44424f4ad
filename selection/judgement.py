"""Judgements of pairs: a model reads two classes' diffs and says with one letter which is better, in both orders.

Where the server gives the letters' probabilities, they are the judgement, not the one letter that is drawn. A small
model may lean to the first candidate whatever it is; how much it leans, seen in both orders, tells what else it knows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import permutations

from agent.errors import ContextTooLong, ModelReplyInvalid, ModelTimeout
from agent.model.base import Completion, Message, Model, Request, Sampling, Stage
from agent.parallel import each
from agent.prompts.shared import system_message
from sandbox.base import Patch
from selection.base import ClassId
from selection.pool import PoolJudgement
from selection.prompts.judgement import LETTERS, pair

_LETTER = re.compile(rf"\W*([{''.join(LETTERS)}])\b")


async def judged(
    repository: str, files: str, issue: str, patches: Mapping[ClassId, Patch], model: Model, *, seed: int = 0
) -> tuple[PoolJudgement, ...]:
    """Judgements of all ordered pairs of the classes; `files`: the text of the task's context.

    A pair that the model cannot answer, as it does not fit or gets no readable reply in time, is left out.
    Raises ModelUnavailable, ModelDenied.
    """
    system = Message("system", system_message(repository, files, issue, model.profile))

    async def one(order: tuple[ClassId, ClassId]) -> PoolJudgement | None:
        diffs = dict(zip(LETTERS, (patches[c] for c in order), strict=True))
        request = Request(
            (system, Message("user", pair(model.profile, diffs))),
            Sampling(max_tokens=1, seed=seed),
            Stage.COMPARISON,
            f"judgement-{order[0]}-{order[1]}",
            answers=LETTERS,
        )
        try:
            (answer,) = await model.complete(request)
        except (ContextTooLong, ModelTimeout, ModelReplyInvalid):
            return None
        return PoolJudgement(first=order[0], second=order[1], probability=first_better(answer))

    found = await each(list(permutations(patches, 2)), one, at_once=model.profile.parallel)
    return tuple(judgement for judgement in found if judgement is not None)


def first_better(answer: Completion) -> float:
    """The probability of the first letter, of the two: by the server's, else 1 or 0 by the text; 0.5 without either."""
    chances = {letter: (answer.chances or {}).get(letter, 0.0) for letter in LETTERS}
    if not any(chances.values()):
        said = _LETTER.match(answer.text)
        chances = {letter: float(said is not None and said[1] == letter) for letter in LETTERS}
    total = sum(chances.values())
    return chances[LETTERS[0]] / total if total else 0.5


def agreement(judgements: tuple[PoolJudgement, ...]) -> tuple[int, int]:
    """Pairs whose two orders name the same class, and pairs judged in both. An even judgement names none."""
    by_order = {(one.first, one.second): one.probability for one in judgements}
    both = [(p, by_order[b, a]) for (a, b), p in by_order.items() if a < b and (b, a) in by_order]
    return sum((p > 0.5 > back) or (p < 0.5 < back) for p, back in both), len(both)
