"""Shows a batch on a terminal while it goes on, and as plain lines where nobody looks (CI, a pipe)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from harness.batch_record import BatchSummary, TaskOutcome
from harness.batch_watch import BatchSilence, BatchState, BatchWatcher, TaskWatcher
from harness.progress import Watcher
from harness.progress_state import duration
from harness.result import Status

STATUS_EVERY = 30.0
"""Seconds between plain lines on how the whole stands."""
SHOWN_FAILURES = 5
STYLES = {Status.SELECTED: "green", Status.FAILED: "red", Status.BUDGET_SPENT: "yellow"}


def batch_watcher_for(stream: TextIO, *, quiet: bool, plain: bool) -> BatchWatcher:
    """The live view on a terminal, plain lines elsewhere, silence when asked for."""
    if quiet:
        return BatchSilence()
    console = Console(file=stream, highlight=False)
    if plain or not console.is_terminal or os.environ.get("CI") or os.environ.get("TERM") == "dumb":
        return BatchLines(stream)
    return BatchView(console)


def how_it_stands(state: BatchState) -> str:
    """`12 of 50 done, 3 running, 1 failed; about 8.4 resolved; 120 tasks/h; $0.12; 25:00 left`."""
    counts = state.counts
    failed = counts[Status.FAILED]
    parts = [f"{len(state.outcomes) - failed} of {len(state.tasks)} done, {len(state.running)} running"]
    parts[0] += f", {failed} failed" if failed else ""
    parts.append(f"about {state.resolved:.1f} resolved")
    if state.ended_now:
        parts.append(f"{state.per_hour:.0f} tasks/h")
    if state.money:
        parts.append(f"${state.money:.2f}")
    if state.left and state.seconds_left is not None:
        parts.append(f"{duration(state.seconds_left)} left")
    return "; ".join(parts)


def how_it_ended(outcome: TaskOutcome) -> str:
    """A task's end in one line."""
    words = outcome.status.value.replace("_", " ")
    if outcome.status in (Status.SELECTED, Status.ABSTAINED) and outcome.confidence is not None:
        words += f", confidence {outcome.confidence:.2f} of {outcome.candidates} candidates"
    if outcome.error is not None:
        words += f": {outcome.error.kind}: {_first(outcome.error.message)}"
    if outcome.budget_spent is not None:
        words += f" (ended early by the budget: {outcome.budget_spent})"
    return words


def _first(text: str) -> str:
    return next((line for line in text.splitlines() if line.strip()), "")[:200]


def _clean(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)


class BatchLines(BatchSilence):
    """One line for each task's beginning and end, for what is said about what all share, and now and then for all."""

    def __init__(self, stream: TextIO, state: BatchState | None = None) -> None:
        self._stream = stream
        self._state = state or BatchState()
        self._last = self._state.now()

    def began(self, tasks: Sequence[str], known: Mapping[str, TaskOutcome]) -> None:
        self._state.began(tasks, known)
        self._line(f"{len(tasks)} tasks" + (f", {len(known)} of them done already" if known else ""))

    def task(self, name: str) -> Watcher:
        self._state.task(name)
        self._line(f"{name}: begins")
        return TaskWatcher(self._state, name, self.said)

    def ended(self, outcome: TaskOutcome) -> None:
        self._state.ended(outcome)
        self._line(f"{outcome.instance_id}: {how_it_ended(outcome)}; {duration(outcome.wall_seconds)}")
        if self._state.now() - self._last >= STATUS_EVERY:
            self._last = self._state.now()
            self._line(how_it_stands(self._state))

    def said(self, text: str) -> None:
        # What is made for which task is worth a line; each step of it is not, with hundreds of tasks.
        if not text.startswith("environment: Step "):
            self._line(text)

    def finished(self, summary: BatchSummary) -> None:
        self._line(how_it_stands(self._state))

    def _line(self, text: str) -> None:
        minutes, seconds = divmod(int(self._state.elapsed), 60)
        # What a build or a model said may hold escape sequences; a log takes none.
        self._stream.write(f"[{minutes:02}:{seconds:02}] {_clean(text.strip())}\n")
        self._stream.flush()


class BatchView(BatchSilence):
    """The batch as one picture that is drawn anew four times a second."""

    def __init__(self, console: Console, state: BatchState | None = None) -> None:
        self._console = console
        self.state = state or BatchState()
        self._live = Live(
            get_renderable=self.picture, console=console, refresh_per_second=4, redirect_stdout=False, transient=False
        )

    def began(self, tasks: Sequence[str], known: Mapping[str, TaskOutcome]) -> None:
        self.state.began(tasks, known)
        self._live.start()

    def task(self, name: str) -> Watcher:
        self.state.task(name)
        return TaskWatcher(self.state, name, self.said)

    def ended(self, outcome: TaskOutcome) -> None:
        self.state.ended(outcome)

    def said(self, text: str) -> None:
        self.state.words = _clean(text.strip())

    def finished(self, summary: BatchSummary) -> None:
        self._live.stop()

    def picture(self) -> RenderableType:
        state = self.state
        head = Table.grid(expand=True)
        head.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        head.add_column(justify="right", no_wrap=True)
        head.add_row(Text(how_it_stands(state), style="bold"), Text(duration(state.elapsed), style="bold"))
        done = len(state.outcomes)
        parts: list[RenderableType] = [head, ProgressBar(total=max(1, len(state.tasks)), completed=done, width=60)]
        parts.append(self._ends())
        if state.running:
            parts.append(self._running())
        parts += self._failures()
        parts.append(self._spent())
        if state.words:
            parts.append(Text(f"  {state.words}", style="dim", no_wrap=True, overflow="ellipsis"))
        return Group(*parts)

    def _ends(self) -> RenderableType:
        line = Text(no_wrap=True, overflow="ellipsis")
        for status, count in self.state.counts.items():
            line.append(f"{count} {status.value.replace('_', ' ')}   ", style=STYLES.get(status, "dim"))
        return line

    def _running(self) -> RenderableType:
        table = Table(box=None, padding=(0, 2), header_style="dim", expand=False)
        for heading in ("task", "stage", "", "since"):
            table.add_column(heading, no_wrap=True, justify="right" if heading == "since" else "left")
        # Head, bar, ends, heading, failures, two last lines.
        room = max(3, self._console.height - 7 - SHOWN_FAILURES)
        rows = sorted(self.state.running.items(), key=lambda item: item[1].began)
        for name, row in rows[:room]:
            done, total = row.count
            bar = ProgressBar(total=total, completed=done, width=16) if total else Text("")
            table.add_row(name, Text(row.stage, style="cyan"), bar, duration(self.state.now() - row.began))
        if len(rows) > room:
            table.add_row(Text(f"{len(rows) - room} more", style="dim"), "", "", "")
        return table

    def _failures(self) -> list[RenderableType]:
        failed = [outcome for outcome in self.state.outcomes.values() if outcome.status is Status.FAILED]
        return [
            Text(_clean(f"✗ {each.instance_id}: {how_it_ended(each)}"), style="red", no_wrap=True, overflow="ellipsis")
            for each in failed[-SHOWN_FAILURES:]
        ]

    def _spent(self) -> RenderableType:
        usage, state = self.state.usage, self.state
        cached = f" ({usage.cached_tokens / usage.prompt_tokens:.0%} cached)" if usage.prompt_tokens else ""
        speed = f", {usage.completion_tokens / state.elapsed:.0f}/s" if state.elapsed > 1 else ""
        text = f"tokens {usage.prompt_tokens:,} read{cached}, {usage.completion_tokens:,} written{speed}"
        text += f"   {state.in_flight} in flight" if state.in_flight else ""
        return Text(text, style="dim", no_wrap=True, overflow="ellipsis")
