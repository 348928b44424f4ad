"""A task's watcher is told in its process what the relay has been told in another one."""

from __future__ import annotations

import pickle
from dataclasses import replace

from agent.model.base import Completion, Message, Request, Sampling, Stage, Usage
from harness.batch_watch import BatchState, TaskWatcher
from harness.progress import Silence
from harness.relay import Heard, Relay
from harness.result import Result
from tests.harness.report_fixture import selected

ASK = Request((Message("system", "a secret"), Message("user", "more of it")), Sampling(seed=3), Stage.EDITING, "e-0", 2)
ANSWER = Completion("a secret answer", "stop", Usage(10, 5, 7, 0.5, 0.1, 1))


class Notes(Silence):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []

    def began(self, stage: str) -> None:
        self.told.append(("began", stage))

    def ended(self, stage: str, seconds: float) -> None:
        self.told.append(("ended", stage, seconds))

    def stage(self, stage: str, done: int, total: int) -> None:
        self.told.append(("stage", stage, done, total))

    def asked(self, request: Request, n: int) -> None:
        self.told.append(("asked", request, n))

    def answered(self, request: Request, completions: tuple[Completion, ...]) -> None:
        self.told.append(("answered", request, completions))

    def said(self, source: str, text: str) -> None:
        self.told.append(("said", source, text))

    def finished(self, result: Result) -> None:
        self.told.append(("finished", result))


def across(heard: Heard) -> Relay:
    return Relay(lambda event: heard.tell(pickle.loads(pickle.dumps(event))))


def test_all_of_it_comes_in_order_without_the_texts() -> None:
    notes, made = Notes(), selected()
    relay = across(Heard(notes))
    relay.began("model")
    relay.asked(ASK, 2)
    relay.stage("propose", 1, 4)
    relay.answered(ASK, (ANSWER,))
    relay.said("environment", "builds")
    relay.ended("model", 1.5)
    relay.finished(made)
    bare = replace(ASK, messages=())
    assert notes.told == [
        ("began", "model"),
        ("asked", bare, 2),
        ("stage", "propose", 1, 4),
        ("answered", bare, (replace(ANSWER, text=""),)),
        ("said", "environment", "builds"),
        ("ended", "model", 1.5),
        ("finished", made),
    ]
    assert "secret" not in repr(notes.told[:4])


def test_calls_in_flight_are_counted_until_they_are_answered_or_lost() -> None:
    state = BatchState()
    state.task("a")
    heard = Heard(TaskWatcher(state, "a", print))
    relay = across(heard)
    relay.asked(ASK, 3)
    relay.asked(replace(ASK, turn=3), 2)
    assert state.in_flight == 5
    relay.answered(ASK, (ANSWER,))
    assert (state.in_flight, state.usage.completion_tokens) == (2, 7)
    heard.lost()
    assert state.in_flight == 0
