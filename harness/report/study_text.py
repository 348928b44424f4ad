"""A study as Markdown: one table a size, and what else was measured in a few lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.report.text import clean, count, percent, plural
from selection.study.record import (
    AllocationRecord,
    CalibrationRecord,
    Interval,
    MethodRecord,
    SizeRecord,
    StudyRecord,
)

NOTHING = "n/a"


def markdown(study: StudyRecord) -> str:
    """The whole page."""
    parts = [
        f"# Study of {plural(study.pool.tasks, 'task')}",
        f"{count(study.pool.candidates)} candidates, {count(study.pool.scripts)} test scripts"
        + (f", group {study.pool.group}" if study.pool.group else "")
        + f"; bestpatch {study.bestpatch}, seed {study.seed}. Scores are shares of tasks, in expectation over ties. "
        "Brackets hold 95 % intervals: bootstrap over tasks, paired between methods; p by flipping the signs of the "
        "tasks' differences to bestpatch.",
        *(f"Note: {note}" for note in study.notes),
    ]
    for size in study.sizes:
        parts += _size(size)
    parts += ["## Coverage", _table(("source", "tasks", "law", *_ks(study)), _coverage(study))]
    if study.scripts:
        parts += ["## Test scripts", _table(SCRIPT_HEADS, _scripts(study))]
    parts += ["## When to stop sampling", _table(STOP_HEADS, _stops(study)), *_allocation(study)]
    return "\n\n".join(parts) + "\n"


def ordered(size: SizeRecord) -> list[MethodRecord]:
    """The applicable methods, best first."""
    return sorted((m for m in size.methods if m.score is not None), key=lambda m: -(m.score or 0.0))


def _size(size: SizeRecord) -> list[str]:
    rows = [("oracle", f"{size.oracle:.3f}", "1.00", "", "", "", "", "")] + [
        (
            m.title + (" *" if m.left_out else ""),
            number(m.score, 3),
            with_interval(m.gap_recovered, m.gap_interval),
            with_interval(m.minus_ours, m.minus_ours_interval, signed=True) if m.name != "ours" else "",
            p_value(m.p_value) if m.name != "ours" else "",
            f"{m.cost.executions:.0f}" if m.cost else "",
            (tokens(m.cost.script_tokens) if m.cost.script_tokens != 0 else "0") if m.cost else "",
            f"{m.cost.judgements:.0f}" if m.cost else "",
        )
        for m in ordered(size)
    ]
    parts = [f"## {heading(size)}", _table(METHOD_HEADS, rows)]
    if any(m.left_out and m.score is not None for m in size.methods):
        parts.append(
            "\\* without "
            + "; ".join(sorted({part for m in ordered(size) for part in m.left_out}))
            + ", which the published rule uses and the pool lacks."
        )
    if absent := not_applicable(size):
        parts.append(f"Not applicable to this pool, by what they need: {'; '.join(f'{s}: {m}' for s, m in absent)}.")
    if said := calibration_story(size.calibration):
        parts.append(said)
    return parts


def calibration_story(found: CalibrationRecord) -> str:
    """What the confidence is worth, in sentences; "" without a choice."""
    if found.brier is None:
        return ""
    fifth, whole = next(row for row in found.abstention if row.left_out == 0.2), found.abstention[0].oracle
    gain, most = fifth.least_certain - whole, fifth.oracle - whole
    share = f", {percent(gain / most)} of what leaving out wrong choices would give" if most > 1e-9 else ""
    return (
        f"Confidence: Brier score {found.brier:.3f}; saying the mean every time gives {number(found.baseline, 3)}. "
        f"Without the least certain fifth of the tasks the score goes from {whole:.3f} to {fifth.least_certain:.3f}"
        f"{share}."
    )


METHOD_HEADS = (
    *("method", "score", "gap recovered", "minus bestpatch", "p"),
    *("executions", "script tokens", "judgements"),
)
SCRIPT_HEADS = (
    "author",
    "written",
    "fail before",
    "good",
    "accept a right one",
    "reject a wrong one",
    "accept own wrong",
)
STOP_HEADS = ("rule", "candidates", "score", "completion tokens")


def heading(size: SizeRecord) -> str:
    fewer = f"; {plural(size.smaller, 'task')} with fewer" if size.smaller else ""
    return f"{plural(size.candidates, 'candidate')}, {plural(size.draws, 'draw')} of each task{fewer}"


def not_applicable(size: SizeRecord) -> list[tuple[str, str]]:
    """What is missing, and the titles of the methods that need it."""
    by_signal: dict[str, list[str]] = {}
    for method in size.methods:
        if method.missing:
            by_signal.setdefault(" and ".join(method.missing), []).append(method.title)
    return [(missing, ", ".join(titles)) for missing, titles in by_signal.items()]


def _ks(study: StudyRecord) -> list[str]:
    return [f"@{k}" for k in sorted({point.k for curve in study.coverage for point in curve.points})]


def _coverage(study: StudyRecord) -> Iterable[Sequence[str]]:
    ks = sorted({point.k for curve in study.coverage for point in curve.points})
    for curve in study.coverage:
        at = {point.k: number(point.coverage, 3) for point in curve.points}
        law = f"exp({curve.a:.3f} k^{curve.b:.3f})" if curve.a is not None and curve.b is not None else ""
        yield (curve.source or "all", count(curve.tasks), law, *(at.get(k, "") for k in ks))


def _scripts(study: StudyRecord) -> Iterable[Sequence[str]]:
    for row in study.scripts:
        shares = (row.checked, row.good, row.accepts_right, row.rejects_wrong, row.own_wrong_accepted)
        yield (row.author, count(row.written), *(number(share, 2) for share in shares))


def _stops(study: StudyRecord) -> Iterable[Sequence[str]]:
    for row in study.adaptive:
        yield (rule(row.rule, row.level), f"{row.candidates:.1f}", f"{row.score:.3f}", tokens(row.completion_tokens))


def _allocation(study: StudyRecord) -> list[str]:
    found = study.allocation
    if found is None:
        return []
    rows = [
        (
            source or "unnamed",
            str(found.split[source]),
            str(found.even_split[source]),
            f"{found.single[source]:.3f}",
            tokens(found.tokens.get(source)),
        )
        for source in found.split
    ]
    return [
        "## Split over sources",
        split_story(found),
        _table(("source", "split", "even split", "score of all from it", "tokens of a candidate"), rows),
    ]


def split_story(found: AllocationRecord) -> str:
    """What the split is worth, in sentences."""
    low, high = found.gain_interval
    return (
        f"The {'given' if found.given else 'best'} split of {found.candidates} candidates scores {found.score:.3f}, "
        f"the even one {found.even_score:.3f} (difference [{low:+.3f}, {high:+.3f}])."
        + ("" if found.given else " It was chosen on this pool: report its score on another, with --split.")
    )


def rule(name: str, level: float) -> str:
    """A rule for stopping, in words."""
    match name:
        case "fixed":
            return f"always {level:.0f}"
        case "agreement":
            return "all alike"
        case "beta-votes":
            return f"leader safe by votes, risk {level:g}"
        case "beta":
            return f"leader safe, risk {level:g}"
        case _:
            return f"confidence {level:g}"


def number(value: float | None, digits: int) -> str:
    return NOTHING if value is None else f"{value:.{digits}f}"


def p_value(value: float | None) -> str:
    return NOTHING if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


def tokens(value: float | None) -> str:
    return NOTHING if value is None else count(round(value))


def with_interval(value: float | None, interval: Interval | None, *, signed: bool = False) -> str:
    sign = "+" if signed else ""
    if value is None or interval is None:
        return NOTHING
    return f"{value:{sign}.3f} [{interval[0]:{sign}.3f}, {interval[1]:{sign}.3f}]"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] + ["---:"] * (len(heads) - 1), *rows]
    return "\n".join(
        "| " + " | ".join(" ".join(clean(cell).split()).replace("|", "\\|") for cell in line) + " |" for line in lines
    )
