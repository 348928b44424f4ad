"""Renders a study as one HTML file that needs nothing else: tables, and charts as inline SVG."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from harness.report.chart import Chart
from harness.report.render import asset, environment, policy
from harness.report.study_charts import (
    Forest,
    abstention_chart,
    coverage_chart,
    forest,
    named,
    reliability_chart,
    stopping_chart,
)
from harness.report.study_text import (
    calibration_story,
    heading,
    not_applicable,
    number,
    ordered,
    p_value,
    rule,
    split_story,
    tokens,
    with_interval,
)
from harness.report.text import count, percent, plural
from selection.methods import OURS, OWN, RANDOM
from selection.study.record import MethodRecord, SizeRecord, StudyRecord


@dataclass(frozen=True)
class MethodView:
    title: str
    source: str
    ours: bool
    left_out: str
    score: str
    gap: str
    minus: str
    p: str
    executions: str
    script_tokens: str
    judgements: str


@dataclass(frozen=True)
class SizeView:
    """One number of candidates."""

    anchor: str
    heading: str
    picture: Forest | None
    methods: tuple[MethodView, ...]
    absent: tuple[tuple[str, str], ...]
    hits: tuple[tuple[str, str, str, str], ...]
    """Right candidates, share of draws, bestpatch's hit rate, that of random choice."""
    oracle: str
    reliability: Chart | None
    abstention: Chart | None
    calibration: str


@dataclass(frozen=True)
class SplitView:
    """A split over sources."""

    text: str
    rows: tuple[tuple[str, str, str, str, str], ...]
    """Source, candidates of the split, of the even one, the score of all from it, tokens of one of its candidates."""


@dataclass(frozen=True)
class StudyPage:
    title: str
    headline: str
    tone: str
    symbol: str
    lines: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    sizes: tuple[SizeView, ...]
    coverage: Chart | None
    laws: tuple[tuple[str, str, str, str], ...]
    """Source, its tasks, coverage at the most candidates, law."""
    stopping: Chart | None
    stops: tuple[tuple[str, str, str, str], ...]
    scripts: tuple[tuple[str, ...], ...]
    split: SplitView | None


def render_study(study: StudyRecord) -> str:
    """A whole HTML document, to be written as UTF-8. Equal arguments give equal text."""
    css, script = f"{asset('report.css')}\n{asset('study.css')}", asset("report.js")
    return (
        environment()
        .get_template("study.html")
        .render(
            page=make_page(study),
            version=study.bestpatch,
            css=Markup(css),  # noqa: S704 - our own file, not a stranger's text
            script=Markup(script),  # noqa: S704
            policy=policy(css, script),
        )
    )


def make_page(study: StudyRecord) -> StudyPage:
    tone, symbol, headline = _story(study.sizes[-1])
    pool = study.pool
    return StudyPage(
        title=f"Study of {plural(pool.tasks, 'task')}" + (f", {pool.group}" if pool.group else ""),
        headline=headline,
        tone=tone,
        symbol=symbol,
        lines=study.notes,
        facts=(
            ("tasks", count(pool.tasks)),
            ("candidates", count(pool.candidates)),
            ("test scripts", count(pool.scripts)),
            ("sources", count(len(pool.sources))),
            *(
                (f"{plural(s.candidates, 'candidate')}: random, oracle", f"{s.random:.2f}, {s.oracle:.2f}")
                for s in study.sizes
            ),
        ),
        sizes=tuple(_size(size) for size in study.sizes),
        coverage=coverage_chart(study),
        laws=tuple(
            (
                named(curve.source) if curve.source else "all",
                count(curve.tasks),
                f"{curve.points[-1].coverage:.3f} @{curve.points[-1].k}" if curve.points else "",
                f"exp({curve.a:.3f} k^{curve.b:.3f})" if curve.a is not None and curve.b is not None else "",
            )
            for curve in study.coverage
        ),
        stopping=stopping_chart(study),
        stops=tuple(
            (rule(r.rule, r.level), f"{r.candidates:.1f}", f"{r.score:.3f}", tokens(r.completion_tokens))
            for r in study.adaptive
        ),
        scripts=tuple(
            (
                row.author,
                count(row.written),
                *(
                    number(share, 2)
                    for share in (row.checked, row.good, row.accepts_right, row.rejects_wrong, row.own_wrong_accepted)
                ),
            )
            for row in study.scripts
        ),
        split=_split(study),
    )


def _story(size: SizeRecord) -> tuple[str, str, str]:
    """Tone, symbol and headline: where bestpatch stands among all methods."""
    ours = next(m for m in size.methods if m.name == OURS)
    if ours.gap_recovered is None:
        return "wary", "!", "There is no gap to recover: random choice is as good as the oracle"
    said = f"bestpatch recovers {ours.gap_recovered:.2f} of the gap at {plural(size.candidates, 'candidate')}"
    rival = next((m for m in ordered(size) if m.name not in OWN), None)
    if rival is None or rival.minus_ours is None:
        return "good", "✓", said
    away = f"{rival.title}, {abs(rival.minus_ours):.2f}"
    if rival.minus_ours > 0:
        return "wary", "!", f"{said}; better is {away} more (p {p_value(rival.p_value)})"
    return "good", "✓", f"{said}; next is {away} less (p {p_value(rival.p_value)})"


def _size(size: SizeRecord) -> SizeView:
    methods = {m.name: m for m in size.methods}
    random_hits = {hit.right: hit.hit for hit in methods[RANDOM].hits}
    return SizeView(
        anchor=f"n{size.candidates}",
        heading=heading(size),
        picture=forest(size),
        methods=tuple(_method(method) for method in ordered(size)),
        absent=tuple(not_applicable(size)),
        hits=tuple(
            (str(hit.right), percent(hit.share), f"{hit.hit:.2f}", f"{random_hits[hit.right]:.2f}")
            for hit in methods[OURS].hits
        ),
        oracle=f"{size.oracle:.3f}",
        reliability=reliability_chart(size.calibration),
        abstention=abstention_chart(size.calibration),
        calibration=calibration_story(size.calibration),
    )


def _method(method: MethodRecord) -> MethodView:
    ours, cost = method.name == OURS, method.cost
    return MethodView(
        title=method.title,
        source=method.source,
        ours=ours,
        left_out=", ".join(method.left_out),
        score=number(method.score, 3),
        gap=with_interval(method.gap_recovered, method.gap_interval),
        minus="" if ours else with_interval(method.minus_ours, method.minus_ours_interval, signed=True),
        p="" if ours else p_value(method.p_value),
        executions=count(round(cost.executions)) if cost else "",
        script_tokens=("0" if cost.script_tokens == 0 else tokens(cost.script_tokens)) if cost else "",
        judgements=count(round(cost.judgements)) if cost else "",
    )


def _split(study: StudyRecord) -> SplitView | None:
    found = study.allocation
    if found is None:
        return None
    rows = (
        (named(s), str(found.split[s]), str(found.even_split[s]), f"{found.single[s]:.3f}", tokens(found.tokens.get(s)))
        for s in found.split
    )
    return SplitView(split_story(found), tuple(rows))
