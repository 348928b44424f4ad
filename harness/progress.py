"""What a run tells those who watch it. The live view, plain lines and silence are all a `Watcher`."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Protocol

from agent.model.base import Completion, Model, Profile, Request
from agent.trajectory import Recorder, Turn
from harness.result import Result


class Watcher(Recorder, Protocol):
    """A recorder that is also told of what needs no journal: what began, what is asked, what was said."""

    def began(self, stage: str) -> None:
        """A stage of the run began: model, environment, context, candidates, selection."""
        ...

    def ended(self, stage: str, seconds: float) -> None: ...

    def asked(self, request: Request, n: int) -> None:
        """A model call began (one that the journal cannot answer)."""
        ...

    def answered(self, request: Request, completions: tuple[Completion, ...]) -> None: ...

    def said(self, source: str, text: str) -> None:
        """A line of progress of the model's server or the image's build."""
        ...

    def finished(self, result: Result) -> None: ...


class Silence:
    """Watches nothing."""

    def began(self, stage: str) -> None: ...
    def ended(self, stage: str, seconds: float) -> None: ...
    def asked(self, request: Request, n: int) -> None: ...
    def answered(self, request: Request, completions: tuple[Completion, ...]) -> None: ...
    def said(self, source: str, text: str) -> None: ...
    def finished(self, result: Result) -> None: ...
    def turn(self, turn: Turn) -> None: ...
    def stage(self, stage: str, done: int, total: int) -> None: ...
    def note(self, kind: str, detail: dict[str, object]) -> None: ...


class Both:
    """A recorder that tells two, the journal first."""

    def __init__(self, journal: Recorder, watcher: Recorder) -> None:
        self._each = (journal, watcher)

    def turn(self, turn: Turn) -> None:
        for each in self._each:
            each.turn(turn)

    def stage(self, stage: str, done: int, total: int) -> None:
        for each in self._each:
            each.stage(stage, done, total)

    def note(self, kind: str, detail: dict[str, object]) -> None:
        for each in self._each:
            each.note(kind, detail)


class WatchedModel:
    """A model whose calls are shown."""

    def __init__(self, model: Model, watcher: Watcher) -> None:
        self._model = model
        self._watcher = watcher

    @property
    def profile(self) -> Profile:
        return self._model.profile

    async def complete(self, request: Request, n: int = 1) -> tuple[Completion, ...]:
        with self._shown(request, n) as answers:
            answers += await self._model.complete(request, n)
        return tuple(answers)

    @contextmanager
    def _shown(self, request: Request, n: int) -> Generator[list[Completion]]:
        answers: list[Completion] = []
        self._watcher.asked(request, n)
        try:
            yield answers
        finally:
            self._watcher.answered(request, tuple(answers))
