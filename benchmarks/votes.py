"""Replays a recorded pool of verdicts through the vote, beside random choice, simpler votes and the oracle.

    python benchmarks/votes.py POOL.jsonl --split tuning --candidates 8 --scripts 8

POOL.jsonl has one task a line: `split`, `class_of_sample` (the class of each recorded candidate; -1: unchanged or no
code), `class_correct`, `script_exit_on_unedited`, `script_exit_on_class` (per script one exit code per class: 0 passed,
2 assertion failed, 1 other exception, 3 does not import, 4 timed out). Each draw takes some candidates and scripts of
every task at random and lets all methods choose among the same ones. Intervals are 95 % percentile bootstraps over
tasks, paired between methods: draws of one task are no independent evidence. Nobody wrote both a script and a
candidate in such a pool, so no vote is barred, unless `--paired` makes author i of candidate i and script i.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.trajectory import ScriptId
from sandbox.script import Verdict
from selection.base import ClassId
from selection.confidence import Signals, confidence
from selection.vote import margin, standings
from selection.weights import Ballots, script_weights

VERDICTS = {0: Verdict.PASSED, 1: Verdict.BROKEN, 2: Verdict.FAILED, 3: Verdict.BROKEN, 4: Verdict.TIMED_OUT}


@dataclass(frozen=True)
class Draw:
    """Some candidates and scripts of one task: their ballots, which classes are right, the mean over candidates."""

    ballots: Ballots
    correct: dict[ClassId, bool]
    random: float
    candidates: int


Method = Callable[[Draw], float]
"""Chance of a right choice in a draw: 0 or 1, or between where the method leaves a tie to the dice."""


def draw(task: dict[str, Any], rng: random.Random, candidates: int, scripts: int, *, paired: bool) -> Draw:
    samples = rng.sample(range(len(task["class_of_sample"])), candidates)
    recorded = len(task["script_exit_on_unedited"])
    chosen = rng.sample(range(recorded), min(scripts, recorded))
    classes = [task["class_of_sample"][sample] for sample in samples]
    sizes: dict[ClassId, int] = {}
    authors: dict[ClassId, set[int]] = {}
    for author, c in enumerate(classes):
        if c >= 0:
            sizes[ClassId(f"c{c}")] = sizes.get(ClassId(f"c{c}"), 0) + 1
            authors.setdefault(ClassId(f"c{c}"), set()).add(author)
    verdicts: dict[ScriptId, dict[ClassId, Verdict]] = {}
    barred: dict[ScriptId, frozenset[ClassId]] = {}
    for author, script in enumerate(chosen):
        if VERDICTS[task["script_exit_on_unedited"][script]] is Verdict.FAILED:
            row = task["script_exit_on_class"][script]
            verdicts[ScriptId(f"s{script}")] = {c: VERDICTS[row[int(c[1:])]] for c in sizes}
            barred[ScriptId(f"s{script}")] = frozenset(c for c in sizes if paired and author in authors[c])
    correct = {c: bool(task["class_correct"][int(c[1:])]) for c in sizes}
    right = sum(task["class_correct"][c] for c in classes if c >= 0)
    return Draw(Ballots(sizes, verdicts, barred), correct, right / candidates, candidates)


def by_key(key: Callable[[Ballots, ClassId], Any]) -> Method:
    def choose(drawn: Draw) -> float:
        scored = {c: key(drawn.ballots, c) for c in drawn.ballots.sizes}
        best = [drawn.correct[c] for c, score in scored.items() if score == max(scored.values())]
        return sum(best) / len(best) if best else 0.0

    return choose


def passed(ballots: Ballots, c: ClassId) -> int:
    return sum(ballots.passes(s, c) for s in ballots.verdicts if c not in ballots.barred[s])


def ours(drawn: Draw) -> float:
    ranked = standings(drawn.ballots, script_weights(drawn.ballots), {})
    return float(drawn.correct[ranked[0].id]) if ranked else 0.0


METHODS: dict[str, Method] = {
    "random": lambda drawn: drawn.random,
    "equal votes": by_key(passed),
    "votes, then class size": by_key(lambda ballots, c: (passed(ballots, c), ballots.sizes[c])),
    "bestpatch": ours,
    "oracle": lambda drawn: float(any(drawn.correct.values())),
}


def gap(scores: dict[str, list[float]], name: str, tasks: Sequence[int]) -> float:
    """(method - random) / (oracle - random) over the tasks."""
    total = {n: sum(scores[n][t] for t in tasks) for n in ("random", "oracle", name)}
    room = total["oracle"] - total["random"]
    return (total[name] - total["random"]) / room if room else 0.0


def interval(values: list[float]) -> tuple[float, float]:
    ordered = sorted(values)
    return ordered[int(0.025 * len(ordered))], ordered[int(0.975 * len(ordered)) - 1]


def calibration(tasks: list[dict[str, Any]], args: argparse.Namespace) -> list[tuple[str, int, float, float]]:
    """Rows of (bin, choices, mean confidence, share right) for the confidence that votes alone give."""
    rng = random.Random(args.seed)
    seen: list[tuple[float, bool]] = []
    for task in tasks:
        for _ in range(args.draws):
            drawn = draw(task, rng, args.candidates, args.scripts, paired=args.paired)
            ranked = standings(drawn.ballots, script_weights(drawn.ballots), {})
            if ranked:
                seen.append((confidence(signals(drawn, ranked)), drawn.correct[ranked[0].id]))
    rows: list[tuple[str, int, float, float]] = []
    for low in (0.0, 0.2, 0.4, 0.6, 0.8, 0.9):
        high = {0.8: 0.9, 0.9: 1.01}.get(low, low + 0.2)
        inside = [(sure, right) for sure, right in seen if low <= sure < high]
        if inside:
            mean = sum(sure for sure, _ in inside) / len(inside)
            rows.append((f"{low:.1f}-{min(high, 1):.1f}", len(inside), mean, sum(r for _, r in inside) / len(inside)))
    return rows


def signals(drawn: Draw, ranked: Sequence[Any]) -> Signals:
    best = ranked[0]
    return Signals(
        votes=best.votes,
        voters=best.voters,
        margin=margin(ranked),
        share=best.alike / (drawn.candidates + 1),
        own_script=True,  # a recorded pool knows no authors
        broken=False,
        agreed=None,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pool", type=Path)
    parser.add_argument("--split", default="tuning")
    parser.add_argument("--candidates", type=int, default=8)
    parser.add_argument("--scripts", type=int, default=8)
    parser.add_argument("--draws", type=int, default=200, help="of each task")
    parser.add_argument("--paired", action="store_true", help="author i wrote candidate i and script i")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    tasks = [json.loads(line) for line in args.pool.read_text(encoding="utf-8").splitlines() if line.strip()]
    tasks = [task for task in tasks if task["split"] == args.split]
    if not tasks:
        parser.error(f"no task of split {args.split!r} in {args.pool}")

    rng = random.Random(args.seed)
    scores: dict[str, list[float]] = {name: [] for name in METHODS}
    for task in tasks:
        drawn = [draw(task, rng, args.candidates, args.scripts, paired=args.paired) for _ in range(args.draws)]
        for name, method in METHODS.items():
            scores[name].append(sum(method(one) for one in drawn) / len(drawn))

    everything = range(len(tasks))
    resamples = [rng.choices(everything, k=len(tasks)) for _ in range(2_000)]
    anchor = "votes, then class size"
    report: dict[str, Any] = {"split": args.split, "tasks": len(tasks), "draws": args.draws, "methods": {}}
    for name, values in scores.items():
        shares = [gap(scores, name, sample) for sample in resamples]
        against = [gap(scores, name, s) - gap(scores, anchor, s) for s in resamples]
        report["methods"][name] = {
            "score": sum(values) / len(values),
            "gap_recovered": gap(scores, name, everything),
            "interval": interval(shares),
            "minus_anchor": gap(scores, name, everything) - gap(scores, anchor, everything),
            "minus_anchor_interval": interval(against),
        }
    report["calibration"] = calibration(tasks, args)
    if args.json:
        print(json.dumps(report))
        return
    print(f"{args.split}: {len(tasks)} tasks, {args.candidates} candidates, {args.scripts} scripts, {args.draws} draws")
    print(f"{'method':24} score   gap recovered [95 %]      minus '{anchor}' [95 %]")
    for name, row in report["methods"].items():
        low, high = row["interval"]
        less, more = row["minus_anchor_interval"]
        print(
            f"{name:24} {row['score']:.3f}   {row['gap_recovered']:.3f} [{low:.3f}, {high:.3f}]"
            f"      {row['minus_anchor']:+.3f} [{less:+.3f}, {more:+.3f}]"
        )
    print("confidence   choices   mean   right")
    for label, count, mean, right in report["calibration"]:
        print(f"{label:12} {count:7}   {mean:.2f}   {right:.2f}")


if __name__ == "__main__":
    main()
