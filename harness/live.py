"""Shows a run on a terminal while it goes on, and as plain lines where nobody looks (CI, a pipe)."""

from __future__ import annotations

import os
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from agent.model.base import Completion, Request
from agent.task import Task
from agent.trajectory import Turn
from harness.progress import Silence, Watcher
from harness.progress_state import STAGES, State, Step, duration, title
from harness.result import Result

STYLES = {"good": "green", "fair": "yellow", "poor": "red", "": "dim"}
MARKS = {"good": "✓", "fair": "~", "poor": "✗", "": "·"}
LINE_EVERY = 5.0
"""Seconds between plain lines on the same stage's progress."""
_SELECTING = ("matrix", "regression", "probes", "comparison")


def watcher_for(task: Task, stream: TextIO, *, quiet: bool, plain: bool) -> Watcher:
    """The live view on a terminal, plain lines elsewhere, silence when asked for."""
    if quiet:
        return Silence()
    console = Console(file=stream, highlight=False)
    if plain or not console.is_terminal or os.environ.get("CI") or os.environ.get("TERM") == "dumb":
        return PlainLines(stream)
    return LiveView(task, console)


class PlainLines(Silence):
    """One line for each thing that happened, with the time since the start."""

    def __init__(self, stream: TextIO, state: State | None = None) -> None:
        self._stream = stream
        self._state = state or State()
        self._last: dict[str, float] = {}

    def began(self, stage: str) -> None:
        self._state.began(stage)
        self._line(f"{stage}: begins")

    def ended(self, stage: str, seconds: float) -> None:
        self._state.ended(stage, seconds)
        self._line(f"{stage}: done in {duration(seconds)}")

    def answered(self, request: Request, completions: tuple[Completion, ...]) -> None:
        self._state.answered(request, completions, 0)

    def said(self, source: str, text: str) -> None:
        self._line(f"{source}: {text.strip()}")

    def turn(self, turn: Turn) -> None:
        step = self._state.turn(turn)
        if step is not None:
            what = turn.stage.value.replace("_", " ")
            self._line(f"{turn.trajectory}: {what}, turn {step.turns}: {step.words}")

    def stage(self, stage: str, done: int, total: int) -> None:
        now = self._state.now()
        if total and (done == total or now - self._last.get(stage, -LINE_EVERY) >= LINE_EVERY):
            self._last[stage] = now
            self._line(f"{stage}: {done} of {total}")

    def note(self, kind: str, detail: dict[str, object]) -> None:
        if kind == "trajectory_failed":
            self._line(f"{detail.get('trajectory')}: failed: {detail.get('error')}: {detail.get('message')}")

    def finished(self, result: Result) -> None:
        total = result.usage["total"]
        tokens = f"{total.prompt_tokens:,} tokens read, {total.completion_tokens:,} written"
        self._line(f"{result.status.value}: {tokens}, ${total.money:.2f}, {duration(result.wall_seconds)} in all")

    def _line(self, text: str) -> None:
        minutes, seconds = divmod(int(self._state.elapsed), 60)
        # What a build or a model said may hold escape sequences; a log takes none.
        clean = "".join(char if char.isprintable() else " " for char in text)
        self._stream.write(f"[{minutes:02}:{seconds:02}] {clean}\n")
        self._stream.flush()


class LiveView(Silence):
    """The run as one picture that is drawn anew four times a second."""

    def __init__(self, task: Task, console: Console, state: State | None = None) -> None:
        self._task = task
        self._console = console
        self.state = state or State()
        self._spinner = Spinner("dots", style="cyan")
        self._asked: dict[str, int] = {}
        self._live = Live(
            get_renderable=self.picture, console=console, refresh_per_second=4, redirect_stdout=False, transient=False
        )

    def began(self, stage: str) -> None:
        self.state.began(stage)
        if not self._live.is_started:
            self._live.start()

    def ended(self, stage: str, seconds: float) -> None:
        self.state.ended(stage, seconds)

    def asked(self, request: Request, n: int) -> None:
        self._asked[request.key] = n
        self.state.asked(request, n)

    def answered(self, request: Request, completions: tuple[Completion, ...]) -> None:
        self.state.answered(request, completions, self._asked.pop(request.key, 1))

    def said(self, source: str, text: str) -> None:
        self.state.said[source] = text.strip()

    def turn(self, turn: Turn) -> None:
        self.state.turn(turn)

    def stage(self, stage: str, done: int, total: int) -> None:
        self.state.counts[stage] = (done, total)

    def note(self, kind: str, detail: dict[str, object]) -> None:
        self.state.note(kind, detail)

    def finished(self, result: Result) -> None:
        self.state.result = result
        self._live.stop()

    def picture(self) -> RenderableType:
        parts: list[RenderableType] = [self._head(), self._stages()]
        parts += [
            Text(f"  {source}: {text}", style="dim", no_wrap=True, overflow="ellipsis")
            for source, text in self.state.said.items()
        ]
        if self.state.rows:
            parts.append(self._trajectories())
        parts += self._selecting()
        parts.append(self._spent())
        return Group(*parts)

    def _head(self) -> RenderableType:
        head = Table.grid(expand=True)
        head.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        head.add_column(justify="right", no_wrap=True)
        name = Text.assemble((self._task.repository, "bold"), f" @ {self._task.base_commit[:8]}  ")
        name.append(title(self._task.issue), style="cyan")
        head.add_row(name, Text(duration(self.state.elapsed), style="bold"))
        return head

    def _stages(self) -> RenderableType:
        line = Text(no_wrap=True, overflow="ellipsis")
        frame = str(self._spinner.render(self.state.elapsed))
        for name in STAGES:
            clock = self.state.stages.get(name)
            if clock is None:
                line.append(f"· {name}   ", style="dim")
            elif clock.seconds is None:
                count = self.state.counts.get({"candidates": "propose"}.get(name, name))
                shown = f" {count[0]}/{count[1]}" if count and count[1] > 1 else ""
                line.append(f"{frame} {name}{shown} {duration(self.state.now() - clock.began)}   ", style="bold cyan")
            else:
                line.append("✓ ", style="green").append(f"{name} ").append(f"{duration(clock.seconds)}   ", style="dim")
        return line

    def _trajectories(self) -> RenderableType:
        table = Table(box=None, padding=(0, 2), header_style="dim", expand=False)
        for heading in ("trajectory", "test script", "edit"):
            table.add_column(heading, no_wrap=True)
        # Head, stages, the table's heading, up to six lines of selection, the last line.
        room = max(4, self._console.height - 11)
        names = sorted(self.state.rows, key=lambda name: (len(name), name))
        for name in names[:room]:
            row = self.state.rows[name]
            edit = Text(f"✗ {row.failed}", style="red") if row.failed else self._step(row.edit)
            table.add_row(name.removeprefix("trajectory-").rjust(3), self._step(row.test), edit)
        if len(names) > room:
            rest = [self.state.rows[name].edit.mood for name in names[room:]]
            table.add_row("", Text(f"{len(rest)} more", style="dim"), Text(f"{rest.count('good')} pass", style="dim"))
        return table

    def _step(self, step: Step) -> Text:
        text = Text()
        if step.asking:
            text.append(f"{self._spinner.render(self.state.elapsed)} ", style="cyan")
            text.append(f"writing, turn {step.turns + 1}" + (f" ({step.words})" if step.words else ""))
        elif step.checking:
            text.append(f"{self._spinner.render(self.state.elapsed)} running", style="cyan")
        elif step.words:
            text.append(f"{MARKS[step.mood]} {step.words}", style=STYLES[step.mood])
            if step.turns > 1:
                text.append(f", turn {step.turns}", style="dim")
        return text

    def _selecting(self) -> list[RenderableType]:
        parts: list[RenderableType] = []
        table = Table.grid(padding=(0, 2))
        for name in ("survey", *_SELECTING):
            done, total = self.state.counts.get(name, (0, 0))
            if total:
                table.add_row(Text(f"  {name}"), ProgressBar(total=total, completed=done, width=30), f"{done}/{total}")
        if table.row_count:
            parts.append(table)
        if self.state.votes:
            best = sorted(self.state.votes.items(), key=lambda item: -item[1])[:4]
            line = Text("  votes", style="bold")
            for name, votes in best:
                line.append(f"   {name} {'█' * round(votes * 10) or '▏'} {votes:.2f}", style="green")
            parts.append(line)
        return parts

    def _spent(self) -> RenderableType:
        usage, seconds = self.state.usage, self.state.elapsed
        cached = f" ({usage.cached_tokens / usage.prompt_tokens:.0%} cached)" if usage.prompt_tokens else ""
        speed = f", {usage.completion_tokens / seconds:.0f}/s" if seconds > 1 else ""
        text = f"tokens {usage.prompt_tokens:,} read{cached}, {usage.completion_tokens:,} written{speed}"
        text += f"   ${usage.money:.2f}" if usage.money else ""
        text += f"   {self.state.in_flight} in flight" if self.state.in_flight else ""
        return Text(text, style="dim", no_wrap=True, overflow="ellipsis")
