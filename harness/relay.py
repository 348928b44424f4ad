"""A task's watcher in one process and what it watches in another one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count

from agent.model.base import Completion, Request
from agent.trajectory import Turn
from harness.messages import Answered, Asked, Began, Ended, Event, Finished, Said, Step
from harness.progress import Watcher
from harness.result import Result


class Relay:
    """A watcher that passes on what it is told, without texts of prompts and answers, which nobody shows of a batch.

    Turns and notes are not passed on: they are in the task's journal.
    """

    def __init__(self, send: Callable[[Event], None]) -> None:
        self._send = send
        self._numbers = count()
        self._asked: dict[int, int] = {}
        """id of a request that is under way -> its number."""

    def began(self, stage: str) -> None:
        self._send(Began(stage))

    def ended(self, stage: str, seconds: float) -> None:
        self._send(Ended(stage, seconds))

    def asked(self, request: Request, n: int) -> None:
        number = self._asked[id(request)] = next(self._numbers)
        self._send(Asked(number, replace(request, messages=()), n))

    def answered(self, request: Request, completions: tuple[Completion, ...]) -> None:
        bare = tuple(replace(completion, text="") for completion in completions)
        self._send(Answered(self._asked.pop(id(request)), bare))

    def said(self, source: str, text: str) -> None:
        self._send(Said(source, text))

    def finished(self, result: Result) -> None:
        self._send(Finished(result))

    def turn(self, turn: Turn) -> None: ...

    def stage(self, stage: str, done: int, total: int) -> None:
        self._send(Step(stage, done, total))

    def note(self, kind: str, detail: dict[str, object]) -> None: ...


class Heard:
    """The other end: tells a watcher what a relay has passed on."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._asked: dict[int, Request] = {}

    def tell(self, event: Event) -> None:
        watcher = self._watcher
        match event:
            case Began(stage):
                watcher.began(stage)
            case Ended(stage, seconds):
                watcher.ended(stage, seconds)
            case Step(stage, done, total):
                watcher.stage(stage, done, total)
            case Asked(number, request, n):
                self._asked[number] = request
                watcher.asked(request, n)
            case Answered(number, completions):
                watcher.answered(self._asked.pop(number), completions)
            case Said(source, text):
                watcher.said(source, text)
            case Finished(result):
                watcher.finished(result)

    def lost(self) -> None:
        """The other process is gone: what was asked is not answered any more."""
        while self._asked:
            self._watcher.answered(self._asked.popitem()[1], ())
