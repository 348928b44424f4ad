"""The pictures of a study: methods with intervals, coverage, calibration, stopping."""

from __future__ import annotations

from dataclasses import dataclass

from harness.report.chart import BOTTOM, LEFT, RIGHT, TOP, Axis, Chart, Mark, Tick, bounds, line
from harness.report.study_text import ordered, rule, with_interval
from harness.report.text import clean, percent
from selection.study.record import CalibrationRecord, Interval, SizeRecord, StudyRecord

WIDTH, HEIGHT = 470, 320


@dataclass(frozen=True)
class Bar:
    """A method: its point and the ends of its interval, on one line of the picture."""

    title: str
    y: int
    x: float
    low: float
    high: float
    figure: str
    ours: bool
    hint: str


@dataclass(frozen=True)
class Forest:
    """Gap recovered by method, with intervals."""

    width: int
    height: int
    left: int
    top: int
    ticks: tuple[Tick, ...]
    bars: tuple[Bar, ...]
    ours: float
    """Where bestpatch's point stands."""
    summary: str


def forest(size: SizeRecord) -> Forest | None:
    """None where the oracle is no better than random."""
    shown = [m for m in ordered(size) if m.gap_recovered is not None and m.gap_interval is not None]
    if not shown:
        return None
    ends: list[Interval] = [m.gap_interval for m in shown if m.gap_interval]
    row, left, width, figures, top = 26, 245, 960, 150, 26
    low = min(0.0, *(a for a, _ in ends), *(m.gap_recovered or 0.0 for m in shown))
    high = max(1.0, *(b for _, b in ends))
    axis = Axis(*bounds([low, high], floor=-2.0, ceiling=2.0, step=0.2), left + 10, width - figures)
    bars = tuple(
        Bar(
            title=m.title,
            y=top + 14 + n * row,
            x=axis.at(m.gap_recovered or 0.0),
            low=axis.at((m.gap_interval or (0.0, 0.0))[0]),
            high=axis.at((m.gap_interval or (0.0, 0.0))[1]),
            figure=f"{m.gap_recovered:.2f} [{ends[n][0]:.2f}, {ends[n][1]:.2f}]",
            ours=m.name == "ours",
            hint=f"{m.title}: {m.source}. Score {m.score:.3f}, gap recovered "
            + with_interval(m.gap_recovered, m.gap_interval),
        )
        for n, m in enumerate(shown)
    )
    best = bars[0]
    return Forest(
        width=width,
        height=top + len(bars) * row + 12,
        left=left,
        top=top,
        ticks=axis.ticks(),
        bars=bars,
        ours=next((bar.x for bar in bars if bar.ours), axis.at(0.0)),
        summary=f"Gap recovered by {len(bars)} methods; the highest is {best.title} with {best.figure}.",
    )


def _x(low: float, high: float, *, log: bool = False) -> Axis:
    return Axis(low, high, LEFT, WIDTH - RIGHT, log=log)


def _y(low: float, high: float) -> Axis:
    return Axis(low, high, HEIGHT - BOTTOM, TOP)


def coverage_chart(study: StudyRecord) -> Chart | None:
    """Coverage at k with its law, and what bestpatch selects of as many candidates."""
    curve = study.coverage[0]
    if len(curve.points) < 2:
        return None
    selected = [(row.level, row.score) for row in study.adaptive if row.rule == "fixed"]
    covered = [(p.k, p.coverage) for p in curve.points]
    everything = [share for _, share in (*covered, *selected)]
    x, y = _x(1, max(curve.points[-1].k, *(n for n, _ in selected)), log=True), _y(*bounds(everything))
    fitted = [(float(p.k), min(y.high, max(y.low, p.fitted))) for p in curve.points if p.fitted is not None]
    return Chart(
        WIDTH,
        HEIGHT,
        "candidates",
        "share of tasks",
        x.ticks(),
        y.ticks(),
        lines=(
            line("law", fitted, x, y),
            line("oracle", covered, x, y, "coverage"),
            line("ours", selected, x, y, "bestpatch"),
        ),
        marks=(
            *(
                Mark("oracle", x.at(p.k), y.at(p.coverage), 3.5, f"coverage@{p.k}: {p.coverage:.3f}")
                for p in curve.points
            ),
            *(Mark("ours", x.at(n), y.at(s), 3.5, f"bestpatch of {n:.0f}: {s:.3f}") for n, s in selected),
        ),
        summary=f"Coverage rises from {covered[0][1]:.2f} with 1 candidate to {covered[-1][1]:.2f} with more.",
    )


def stopping_chart(study: StudyRecord) -> Chart | None:
    """Score by mean candidates used: fixed numbers as a line, rules for stopping as marks."""
    fixed = [row for row in study.adaptive if row.rule == "fixed"]
    if len(fixed) < 2:
        return None
    rules = [row for row in study.adaptive if row.rule != "fixed"]
    x = _x(1, max(row.candidates for row in study.adaptive), log=True)
    y = _y(*bounds([row.score for row in study.adaptive]))

    def mark(kind: str, name: str, level: float, candidates: float, score: float) -> Mark:
        said = rule(name, level)
        return Mark(kind, x.at(candidates), y.at(score), 4.5, f"{said}: {candidates:.1f} candidates, score {score:.3f}")

    return Chart(
        WIDTH,
        HEIGHT,
        "candidates used, mean",
        "score of bestpatch",
        x.ticks(),
        y.ticks(),
        lines=(
            line("fixed", [(row.candidates, row.score) for row in fixed], x, y),
            *(
                line(name, [(row.candidates, row.score) for row in rules if row.rule == name], x, y)
                for name in ("beta", "beta-votes", "confidence")
            ),
        ),
        marks=tuple(mark(row.rule, row.rule, row.level, row.candidates, row.score) for row in (*fixed, *rules)),
        summary=f"A fixed number reaches {fixed[-1].score:.2f} with {fixed[-1].candidates:.0f} candidates.",
    )


def reliability_chart(calibration: CalibrationRecord) -> Chart | None:
    """Share right by confidence; a dot's area is its share of the choices."""
    if not calibration.bins:
        return None
    x, y = _x(0, 1), _y(0, 1)
    total = sum(row.choices for row in calibration.bins)
    return Chart(
        WIDTH,
        HEIGHT,
        "confidence",
        "share right",
        x.ticks(),
        y.ticks(),
        lines=(
            line("ideal", [(0, 0), (1, 1)], x, y),
            line("ours", [(row.confidence, row.right) for row in calibration.bins], x, y),
        ),
        marks=tuple(
            Mark(
                "ours",
                x.at(row.confidence),
                y.at(row.right),
                round(3 + 14 * (row.choices / total) ** 0.5, 1),
                f"confidence {row.confidence:.2f}: right {row.right:.2f}, {percent(row.choices / total)} of choices",
            )
            for row in calibration.bins
        ),
        summary=f"Brier score {calibration.brier:.3f}.",
    )


def abstention_chart(calibration: CalibrationRecord) -> Chart | None:
    """The score of the rest by the share of tasks left out."""
    rows = calibration.abstention
    if not rows:
        return None
    y = _y(*bounds([value for row in rows for value in (row.least_certain, row.oracle)]))
    x = _x(0, rows[-1].left_out)
    return Chart(
        WIDTH,
        HEIGHT,
        "share of tasks left out",
        "score of the rest",
        x.ticks(),
        y.ticks(),
        lines=(
            line("oracle", [(row.left_out, row.oracle) for row in rows], x, y),
            line("ours", [(row.left_out, row.least_certain) for row in rows], x, y),
            line("ideal", [(row.left_out, rows[0].oracle) for row in rows], x, y),
        ),
        marks=tuple(
            Mark("ours", x.at(r.left_out), y.at(r.least_certain), 3.5, f"{percent(r.left_out)}: {r.least_certain:.3f}")
            for r in rows
        ),
        summary=f"Leaving out the least certain half raises the score from {rows[0].oracle:.2f} to "
        f"{rows[-1].least_certain:.2f}.",
    )


def named(text: str) -> str:
    """A stranger's name, fit to be shown."""
    return clean(text, 60) or "unnamed"
