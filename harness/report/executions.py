"""Executions as the report shows them: what each column of the matrix printed, probes, and the comparison's rounds."""

from __future__ import annotations

from dataclasses import dataclass

from harness.report.matrix_svg import SYMBOLS, UNEDITED
from harness.report.text import clean, plural, seconds
from harness.result import ComparisonRoundRecord, ExecutionRecord, ProbeRecord, Result

PROBES_SHOWN = 12


@dataclass(frozen=True)
class Outcome:
    """One execution, shown on demand."""

    column: str
    verdict: str
    symbol: str
    seconds: str
    output: str


@dataclass(frozen=True)
class RoundView:
    source: str
    outcomes: tuple[Outcome, ...]
    summary: str


@dataclass(frozen=True)
class PassView:
    order: tuple[str, ...]
    rounds: tuple[RoundView, ...]
    choice: str
    reason: str


@dataclass(frozen=True)
class ProbeView:
    """A call, its output before, and each other output with the names of the classes that give it."""

    call: str
    function: str
    before: str
    outputs: tuple[tuple[str, str], ...]


def probes(result: Result, names: dict[str, str]) -> tuple[ProbeView, ...]:
    """The probes that tell most classes apart, the plainest of them first."""
    best = sorted(result.probes, key=lambda one: (-len(set(one.outputs.values())), one.varied, len(one.call)))
    return tuple(_probe(one, names) for one in best[:PROBES_SHOWN])


def _probe(one: ProbeRecord, names: dict[str, str]) -> ProbeView:
    grouped: dict[str, list[str]] = {}
    for name, output in sorted((names.get(c, c), output) for c, output in one.outputs.items()):
        grouped.setdefault(output, []).append(name)
    outputs = tuple((", ".join(classes), clean(output, 300)) for output, classes in grouped.items())
    return ProbeView(clean(one.call, 300), clean(one.function, 200), clean(one.on_unedited, 300), outputs)


def outcome(name: str, execution: ExecutionRecord, verdict: str) -> Outcome:
    """An execution in the column of that name."""
    return Outcome(
        name, verdict, SYMBOLS.get(verdict, ""), seconds(execution.seconds), clean(execution.output.strip(), 4_000)
    )


def column(identity: str, names: dict[str, str]) -> str:
    """The name of a column: `before` for the unedited tree."""
    return "before" if identity == UNEDITED else names.get(identity, identity)


def passes(result: Result, names: dict[str, str]) -> tuple[PassView, ...]:
    """The comparison's passes, none where there was no comparison."""
    if result.comparison is None:
        return ()
    return tuple(
        PassView(
            order=tuple(names.get(item, item) for item in one.order),
            rounds=tuple(_round(done, names) for done in one.rounds),
            choice=names.get(one.choice, one.choice) if one.choice else "",
            reason=clean(one.reason, 4_000),
        )
        for one in result.comparison.passes
    )


def _round(done: ComparisonRoundRecord, names: dict[str, str]) -> RoundView:
    outcomes = tuple(outcome(column(item, names), run, _ending(run)) for item, run in done.runs.items())
    different = len({(run.ended, run.exit_code, run.output.strip()) for run in done.runs.values()})
    said = "the same outcome" if different == 1 else plural(different, "different outcome")
    summary = f"{said} on {plural(len(outcomes), 'tree')}"
    return RoundView(clean(done.source), outcomes, summary)


def _ending(run: ExecutionRecord) -> str:
    return f"exit {run.exit_code}" if run.ended == "exited" else run.ended.replace("_", " ")


def comparison(result: Result, names: dict[str, str]) -> str:
    """What the passes came to, in one sentence."""
    if result.comparison is None:
        return ""
    if not any(one.choice for one in result.comparison.passes):
        return "Neither pass found anything to choose by, so the votes decided and the confidence was lowered."
    if result.comparison.choice is None:
        return "The passes did not agree, so the votes decided and the confidence was lowered."
    chosen = names.get(result.comparison.choice, result.comparison.choice)
    held, named = result.comparison.passes, [one.choice for one in result.comparison.passes]
    if len(held) > 2:
        count = named.count(result.comparison.choice)
        return f"{count} of {len(held)} passes, with the candidates in changing orders, chose class {chosen}."
    return f"The passes, with the candidates in different orders, agreed on class {chosen}."
