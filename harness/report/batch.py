"""Renders a batch's summary as one HTML file with a line for each task and a link to its own report."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from harness.batch_record import BatchSummary, TaskLine
from harness.release import release
from harness.report.render import asset, environment, policy
from harness.report.text import clean, count, plural, seconds
from harness.report.usage import gpu_facts
from harness.result import Status
from harness.saving import saving
from harness.units import money

CHIPS = {
    Status.SELECTED: "passed",
    Status.FAILED: "failed",
    Status.ABSTAINED: "edit_applied",
    Status.NO_CANDIDATE: "edit_applied",
    Status.BUDGET_SPENT: "edit_applied",
}
"""Status -> the class of its chip; none for tasks that wait."""

ORDER = (Status.FAILED, Status.BUDGET_SPENT, Status.ABSTAINED, Status.NO_CANDIDATE, Status.SELECTED)


@dataclass(frozen=True)
class TaskView:
    name: str
    link: str
    """To the task's own report; "" where it has none."""
    status: str
    chip: str
    confidence: str
    candidates: str
    tokens: str
    wall: str
    note: str


@dataclass(frozen=True)
class BatchPage:
    title: str
    headline: str
    tone: str
    symbol: str
    advice: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    counts: tuple[tuple[str, int, str], ...]
    saved: str
    """What was not spent because sampling ended early; "" where it never did."""
    tasks: tuple[TaskView, ...]


def render_batch(summary: BatchSummary) -> str:
    """The report of a batch: a whole HTML document, to be written as UTF-8. Equal arguments give equal text."""
    css, script = asset("report.css"), asset("report.js")
    return (
        environment()
        .get_template("batch.html")
        .render(
            page=make_page(summary),
            version=release(),
            css=Markup(css),  # noqa: S704 - our own file, not a stranger's text
            script=Markup(script),  # noqa: S704
            policy=policy(css, script),
        )
    )


def make_page(summary: BatchSummary) -> BatchPage:
    spent = summary.usage
    facts = [
        ("tasks", count(summary.tasks)),
        ("resolved, estimated", f"{summary.resolved_estimate:.1f}"),
        ("wall time", seconds(summary.wall_seconds)),
        ("sandbox time", seconds(summary.sandbox_seconds)),
        ("tasks an hour", f"{summary.tasks_per_hour:.0f}"),
        ("tokens", count(spent.prompt_tokens + spent.completion_tokens)),
        ("money", money(spent.money)),
        *gpu_facts(summary.gpu),
    ]
    tone, symbol, headline, advice = _story(summary)
    counts = [(status.value.replace("_", " "), summary.counts.get(status, 0), CHIPS[status]) for status in ORDER]
    counts.append(("waiting", summary.counts.get("waiting", 0), ""))
    return BatchPage(
        title=plural(summary.tasks, "task"),
        headline=headline,
        tone=tone,
        symbol=symbol,
        advice=advice,
        facts=tuple(facts),
        counts=tuple(entry for entry in counts if entry[1]),
        saved=_saved(summary),
        tasks=tuple(_task(line) for line in summary.lines),
    )


def _story(summary: BatchSummary) -> tuple[str, str, str, tuple[str, ...]]:
    """Tone, symbol, headline, and what to do."""
    again = "The same command goes on where the run stopped."
    done = f"{count(summary.done)} of {plural(summary.tasks, 'task')} done"
    if summary.stopped is not None:
        said = (clean(summary.stopped.message, 1_000), again)
        return "bad", "✗", f"Stopped: {summary.stopped.kind}; {done}", said
    if summary.interrupted:
        return "wary", "!", f"Interrupted; {done}", (again,)
    if summary.budget_spent is not None:
        said = (f"The limit that was reached: {summary.budget_spent}. With more of it the same command goes on.",)
        return "wary", "!", f"The run's budget was spent; {done}", said
    failed = summary.counts.get(Status.FAILED, 0)
    if failed:
        said = (f"The same command tries again what can pass by itself; --retry all {count(failed)} that failed.",)
        return "wary", "!", f"{done}, {count(failed)} failed", said
    return "good", "✓", done, ()


def _saved(summary: BatchSummary) -> str:
    if summary.saved is None:
        return ""
    tasks = plural(sum(line.saved is not None for line in summary.lines), "task")
    return f"Sampling ended early on {tasks}: {saving(summary.saved, count)}."


def _task(line: TaskLine) -> TaskView:
    begun = line.status != "waiting"
    note = ""
    if line.error is not None:
        note = f"{line.error.kind}: {clean(line.error.message, 500)}"
    elif line.refused:
        note = f"{plural(line.refused, 'given candidate')} refused"
    if line.budget_spent is not None:
        note = f"ended early by the budget: {line.budget_spent}"
    return TaskView(
        name=line.instance_id,
        link=f"{line.folder}/report.html" if begun and line.candidates + line.tokens else "",
        status=line.status.replace("_", " "),
        chip=CHIPS.get(Status(line.status), "") if begun else "",
        confidence="" if line.confidence is None else f"{line.confidence:.2f}",
        candidates=count(line.candidates) if begun else "",
        tokens=count(line.tokens) if begun else "",
        wall=seconds(line.wall_seconds) if begun else "",
        note=note,
    )
