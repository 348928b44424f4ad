"""Why the winner won, in plain sentences for the person who asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agent.trajectory import Candidate
from selection.base import ClassId, Comparison, PatchClass, Regressions
from selection.regression import touched_files
from selection.steering import steering
from selection.vote import Standing

_UNCOMPARED = (
    "The votes are close, and no comparison was held: models of this size do not agree with themselves in one "
    "(`selection.comparison_turns` asks for it)."
)


def explain(
    best: PatchClass,
    order: Sequence[Standing],
    found: Regressions,
    fallback: str,
    comparison: Comparison | None,
    vetoed: Mapping[ClassId, str],
    winner: Candidate,
    candidates: int,
    *,
    scripts: int,
    examples: tuple[int, int] = (0, 0),
    probes: int = 0,
    agreement: Mapping[ClassId, float] | None = None,
    left_out: int = 0,
    moved: bool,
    uncompared: bool = False,
) -> tuple[str, ...]:
    """The reasons in order of weight. `moved`: the comparison put another class in front of the votes' leader.

    `uncompared`: the votes left it open, and no comparison is held with this model.
    `scripts`: those that voted; `examples`: the issue's own among them, how many pass and of how many.
    `probes`: calls that separate classes in doubt, whose consensus is `agreement`.
    `left_out`: candidates in no class, whose patch does not apply or changes nothing.
    """
    tied = moved and all(order[0].score >= other.score for other in order)
    said = [
        _comparison(best, comparison, moved=True, tied=tied) if comparison and moved else "",
        _votes(order) if scripts else "No test script that shows the issue was written, so there were no votes.",
        _examples(*examples),
        _agreement(best, order[0], candidates, scripts),
        _probes(best, probes, agreement or {}),
        _tests(best, found, fallback),
        _comparison(best, comparison, moved=False) if comparison and not moved else "",
        _UNCOMPARED if uncompared else "",
        _own_script(winner),
        _steering(best),
        _vetoes(vetoed),
        _left_out(left_out),
    ]
    return tuple(sentence for sentence in said if sentence)


def _own_script(winner: Candidate) -> str:
    if winner.passes_own_script or winner.script is None:
        return ""
    return "It does not pass the test script it was written with."


def _votes(order: Sequence[Standing]) -> str:
    first = order[0]
    if first.voters == 0:
        if len(order) == 1:
            return "It is the only class of candidates left, so no test script had to decide."
        return "No test script told the candidates of other trajectories apart, so the votes decided nothing."
    if first.voters == 1:
        text = f"The one test script with a say in it {'passes' if first.votes > 0.5 else 'does not pass'} on it"
    else:
        text = f"{_percent(first.votes)} of the votes are for it, by {first.voters} test scripts of others"
    if len(order) > 1:
        text += f"; the next class reaches {_percent(order[1].votes)}"
    return text + "."


def _examples(passed: int, of: int) -> str:
    if of == 0:
        return ""
    if of == 1:
        return "It passes the example of the issue." if passed else "It does not pass the example of the issue."
    if passed == of:
        return f"It passes {'both' if of == 2 else f'all {of}'} examples of the issue."
    return f"It passes {passed or 'none'} of the {of} examples of the issue."


def _agreement(best: PatchClass, first: Standing, candidates: int, scripts: int) -> str:
    if candidates == 1:
        return "There was only one candidate to choose from."
    if first.size == candidates:
        return f"All {candidates} candidates are the same patch up to formatting and comments."
    text = f"{_count(first.size)} of {candidates} candidates made this patch"
    if scripts and first.alike > first.size:
        text += f", and {_count(first.alike - first.size).lower()} more cannot be told from it by any test script"
    return text + "."


def _probes(best: PatchClass, probes: int, agreement: Mapping[ClassId, float]) -> str:
    if not probes or best.id not in agreement:
        return ""
    calls = "One call with other arguments gives" if probes == 1 else f"{probes} calls with other arguments give"
    text = f"{calls} different outputs where the test scripts leave it open: "
    text += f"{_percent(agreement[best.id])} of the candidates in question agree with this one"
    others = [value for c, value in agreement.items() if c != best.id]
    return f"{text}, {_percent(max(others))} with the next class." if others else f"{text}."


def _tests(best: PatchClass, found: Regressions, fallback: str) -> str:
    if not found.command or not found.passing:
        return found.note
    count = len(found.passing)
    broken = len(found.broken.get(best.id, ()))
    if best.id not in found.broken:
        return found.note
    if not broken:
        text = "It breaks none of the repository's own tests"
        return f"{text} ({count} of them passed before)." if count > 1 else f"{text}."
    return f"It breaks {broken} of the repository's {count} tests that passed before. {fallback}".strip()


def _comparison(best: PatchClass, comparison: Comparison, *, moved: bool, tied: bool = False) -> str:
    scripts = sum(len(done.rounds) for done in comparison.passes)
    ran = f"after {scripts} executed script{'s' if scripts != 1 else ''}"
    if comparison.choice == best.id:
        held, named = len(comparison.passes), sum(done.choice == best.id for done in comparison.passes)
        how = "twice, in different orders," if held == 2 else f"in {named} of {held} passes, in changing orders,"
        text = f"A comparison of the best candidates chose it {how} {ran}"
        if not moved:
            return f"{text}."
        return text + (", where the votes left it open." if tied else ", against a narrow lead in votes.")
    if comparison.choice is not None:
        return "A comparison preferred another candidate, but the votes are too clear for that to count."
    choices = {done.choice for done in comparison.passes}
    if choices == {None}:
        return f"A comparison of the best candidates found nothing to choose by ({ran}), so the votes decide."
    return f"A comparison of the best candidates did not agree with itself when their order changed ({ran})."


def _vetoes(vetoed: Mapping[ClassId, str]) -> str:
    if not vetoed:
        return ""
    if len(vetoed) == 1:
        name, reason = next(iter(vetoed.items()))
        return f"Class {name} was ruled out: {reason}."
    return (
        f"{len(vetoed)} other classes were ruled out, because "
        + "; ".join(f"{name}: {reason}" for name, reason in list(vetoed.items())[:3])
        + "."
    )


def _steering(best: PatchClass) -> str:
    files = steering(touched_files(best.patch))
    if not files:
        return ""
    more = f" and {len(files) - 3} more" if len(files) > 3 else ""
    return f"It touches {', '.join(files[:3])}{more}, which can steer a test run: look at that before you merge it."


def _left_out(count: int) -> str:
    if not count:
        return ""
    what = "a patch that does not apply or changes" if count == 1 else "patches that do not apply or change"
    return f"{_count(count)} {'candidate' if count == 1 else 'candidates'} had {what} nothing but formatting."


def _percent(value: float) -> str:
    return f"{round(100 * value)} %"


def _count(number: int) -> str:
    words = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten")
    return words[number] if number < len(words) else str(number)
