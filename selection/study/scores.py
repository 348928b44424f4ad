"""Scores of all methods at one size, with intervals, costs and hit rates."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from selection.base import ClassId
from selection.draws import Draw, Drawer
from selection.methods import METHODS, OURS, RANDOM
from selection.methods.base import Asks, Choice, Method, Signal
from selection.study.calibration import Certain, calibration, certain
from selection.study.record import CostRecord, HitRecord, MethodRecord, SizeRecord
from selection.study.statistics import gap, interval, resamples, sign_flip, sums

ORACLE = "oracle"


@dataclass
class Compared:
    """What the comparisons of a method come to, over the draws of a task; tokens and executions in the mean."""

    asked: int = 0
    recorded: int = 0
    tokens: float = 0.0
    executions: float = 0.0

    def add(self, asks: Asks, draw: Draw, count: int) -> None:
        passes = asks.recorded(draw)
        self.asked += bool(passes) or len(asks.shortlist(draw)) > 1
        self.recorded += bool(passes)
        self.tokens += sum(one.completion_tokens for one in passes) / count
        self.executions += sum(one.executions for one in passes) / count


@dataclass
class Tally:
    """What the draws of one task add up to."""

    draws: int
    score: dict[str, float] = field(default_factory=dict[str, float])
    """Method -> mean score."""
    hits: dict[int, dict[str, float]] = field(default_factory=dict[int, dict[str, float]])
    """Right candidates -> method -> sum of scores; the entry of `draws` counts."""
    costs: dict[Signal, float] = field(default_factory=dict[Signal, float])
    """Signal -> mean executions, or judgements."""
    compared: dict[str, Compared] = field(default_factory=dict[str, Compared])
    """Of the methods that ask for comparisons."""
    script_tokens: float | None = 0.0
    tokens: float | None = 0.0
    """Of the drawn candidates."""
    sure: list[Certain] = field(default_factory=list[Certain])


def tally(names: Sequence[str], candidates: int, scripts: int, draws: int, seed: int, drawer: Drawer) -> Tally:
    """Draw, and let the methods of these names choose from each draw."""
    methods = [METHODS[name] for name in names]
    count = 1 if drawer.whole(candidates, scripts) else draws
    found = Tally(draws=count, compared={method.name: Compared() for method in methods if method.asks})
    score = dict.fromkeys([*(m.name for m in methods), ORACLE], 0.0)
    for picked, draw in drawer.draws(candidates, scripts, draws, seed):
        right = drawer.right(picked)
        reached = {method.name: expected(method(draw), right) for method in methods}
        reached[ORACLE] = max(right.values(), default=0.0)
        many = found.hits.setdefault(round(sum(right[c] * len(m) for c, m in draw.classes.items())), {})
        many["draws"] = many.get("draws", 0.0) + 1
        for name, value in reached.items():
            score[name] += value / count
            many[name] = many.get(name, 0.0) + value
        for method in methods:
            if method.asks and draw.classes:
                found.compared[method.name].add(method.asks, draw, count)
        for signal, cost in costs(draw).items():
            found.costs[signal] = found.costs.get(signal, 0.0) + cost / count
        found.script_tokens = _add(found.script_tokens, [s.completion_tokens for s in draw.scripts], count)
        found.tokens = _add(found.tokens, [drawer.task.candidates[n].completion_tokens for n in picked], count)
        found.sure.append(certain(draw, right))
    found.score = score
    return found


def expected(choice: Choice, right: Mapping[ClassId, float]) -> float:
    """The chance that a choice is right."""
    return sum(chance * right[c] for c, chance in choice.items() if c is not None)


def costs(draw: Draw) -> dict[Signal, float]:
    """Executions (judgements, for that signal) that it takes to know each signal of the draw."""
    classes = len(draw.classes)
    pairs = [pair for pair in draw.judged if pair[0] in draw.classes and pair[1] in draw.classes]
    return {
        # Every script runs on the unedited tree; checked ones then on each class.
        Signal.SCRIPTS: len(draw.scripts) + len(draw.rows) * classes,
        Signal.UNCHECKED: len(draw.unchecked) * classes,
        Signal.REGRESSIONS: 2 + classes,
        Signal.PROBES: len(draw.probes) * classes,
        Signal.JUDGEMENTS: len(pairs),
    }


def _add(total: float | None, tokens: Sequence[int | None], count: int) -> float | None:
    known = [number for number in tokens if number is not None]
    return None if total is None or len(known) < len(tokens) else total + sum(known) / count


def at_size(
    tallies: Sequence[Tally],
    methods: Sequence[Method],
    there: Collection[Signal],
    candidates: int,
    scripts: int,
    smaller: int,
    seed: int,
) -> SizeRecord:
    """The figures of all methods; `there`: the signals that the pool has."""
    samples = resamples(len(tallies), seed)
    columns = {name: [t.score[name] for t in tallies] for name in tallies[0].score}
    drawn = {name: sums(columns[name], samples) for name in columns}
    gaps = {name: [gap(*of) for of in zip(drawn[name], drawn[RANDOM], drawn[ORACLE], strict=True)] for name in columns}
    mean = {name: sum(values) / len(values) for name, values in columns.items()}

    def record(method: Method) -> MethodRecord:
        name, known = method.name, method.needs <= frozenset(there)
        base = MethodRecord(
            name=name,
            title=method.title,
            source=method.source,
            missing=tuple(sorted(method.needs - frozenset(there))),
            left_out=tuple(sorted(method.uses - frozenset(there))) if known else (),
        )
        if not known:
            return base
        recovered = gap(mean[name], mean[RANDOM], mean[ORACLE])
        open_ = mean[ORACLE] - mean[RANDOM] > 1e-12
        own = gap(mean[OURS], mean[RANDOM], mean[ORACLE])
        return base.model_copy(
            update={
                "score": mean[name],
                "gap_recovered": recovered if open_ else None,
                "gap_interval": interval(gaps[name]) if open_ else None,
                "minus_ours": recovered - own if open_ else None,
                "minus_ours_interval": interval([a - b for a, b in zip(gaps[name], gaps[OURS], strict=True)])
                if open_
                else None,
                "p_value": sign_flip([a - b for a, b in zip(columns[name], columns[OURS], strict=True)], seed),
                "cost": _cost(tallies, method, frozenset(there)),
                "compared": _compared(tallies, method),
                "hits": _hits(tallies, name),
            }
        )

    tokens = [t.tokens for t in tallies if t.tokens is not None]
    return SizeRecord(
        candidates=candidates,
        scripts=scripts,
        draws=max(t.draws for t in tallies),
        smaller=smaller,
        random=mean[RANDOM],
        oracle=mean[ORACLE],
        completion_tokens=sum(tokens) / len(tokens) if len(tokens) == len(tallies) else None,
        methods=tuple(record(method) for method in methods),
        calibration=calibration([t.sure for t in tallies], seed),
    )


def _compared(tallies: Sequence[Tally], method: Method) -> float | None:
    of = [t.compared[method.name] for t in tallies] if method.asks else []
    asked = sum(one.asked for one in of)
    return sum(one.recorded for one in of) / asked if asked else None


def _cost(tallies: Sequence[Tally], method: Method, there: frozenset[Signal]) -> CostRecord:
    signals = (method.needs | method.uses) & there
    of = [t.compared[method.name] for t in tallies] if method.asks else []

    def mean(signal: Signal) -> float:
        return sum(t.costs[signal] for t in tallies) / len(tallies) if signal in signals else 0.0

    scripted = bool({Signal.SCRIPTS, Signal.UNCHECKED} & signals)
    more = sum(one.tokens for one in of) / len(tallies)
    tokens = [t.script_tokens for t in tallies if t.script_tokens is not None]
    known = len(tokens) == len(tallies)
    return CostRecord(
        script_tokens=more if not scripted else sum(tokens) / len(tokens) + more if known else None,
        executions=sum(mean(s) for s in (Signal.SCRIPTS, Signal.UNCHECKED, Signal.REGRESSIONS, Signal.PROBES))
        + sum(one.executions for one in of) / len(tallies),
        judgements=mean(Signal.JUDGEMENTS),
    )


def _hits(tallies: Sequence[Tally], name: str) -> tuple[HitRecord, ...]:
    """Each task weighs the same, however many draws it has."""
    rows: list[HitRecord] = []
    for right in sorted({r for t in tallies for r in t.hits}):
        of = [(t.hits[right][name] / t.draws, t.hits[right]["draws"] / t.draws) for t in tallies if right in t.hits]
        weight = sum(share for _, share in of)
        rows.append(HitRecord(right=right, share=weight / len(tallies), hit=sum(hit for hit, _ in of) / weight))
    return tuple(rows)
