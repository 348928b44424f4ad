"""One trajectory's conversation with the model, and what all trajectories of a task share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TypeVar

import anyio

from agent.context.gather import Context
from agent.context.window import counter
from agent.errors import ContextTooLong
from agent.model.base import Completion, Message, Model, Request, Sampling, Stage, seed_of
from agent.prompts import test_writing
from agent.prompts.shared import system_message
from agent.snippet import Symbols
from agent.suspects import subject
from agent.task import Task
from agent.trajectory import Outcome, Recorder, Turn
from sandbox.base import Limits, Patch, Sandbox
from sandbox.errors import SandboxLost, SandboxTimeout
from sandbox.script import ScriptRun, run_script

T = TypeVar("T")

FENCE_END = "\n```\n"
"""Ends a code block that something follows."""

_RETRIES = 2
_HOTTER = 0.2


@dataclass(frozen=True)
class Ground:
    """What the trajectories of a task stand on."""

    task: Task
    context: Context
    sandbox: Sandbox
    model: Model
    recorder: Recorder
    limits: Limits
    seed: int
    system: str
    symbols: Symbols
    script_prompt: str
    """The first turn of every test-writing trajectory."""
    executions: anyio.CapacityLimiter

    @classmethod
    def of(
        cls,
        task: Task,
        context: Context,
        sandbox: Sandbox,
        model: Model,
        recorder: Recorder,
        *,
        limits: Limits,
        seed: int,
        parallel: int,
    ) -> Ground:
        known = Symbols(context.tree, context.paths)
        about = subject(task.issue, context.tree, context.paths, known.home)
        return cls(
            task,
            context,
            sandbox,
            model,
            recorder,
            limits,
            seed,
            system_message(task.repository, context.text, task.issue, model.profile),
            known,
            test_writing.first(model.profile, about),
            anyio.CapacityLimiter(parallel),
        )

    async def execute(self, source: str, patch: Patch) -> ScriptRun:
        """Run a test script in the sandbox. Raises PatchRejected, DiskFull; SandboxLost and SandboxTimeout at last."""
        async with self.executions:
            return await patiently(lambda: run_script(self.sandbox, source, patch, self.limits))

    @property
    def draws_anew(self) -> bool:
        """Whether each turn is a fresh draw rather than a conversation.

        Small models, which write whole functions, do not mend: shown their last answer and how it failed, 0.57 of
        candidates were right, drawn anew 0.70 (Qwen2.5-Coder-1.5B, 40 small bugs). Of scripts that were not valid,
        feedback mended 0.19 there and 0.30 on five issues of an example, where fresh draws are expected to be valid
        0.6 of the time (computed from 32 first answers to each). Fresh draws also reuse the whole prompt.
        """
        return self.model.profile.edit_format == "symbol"

    def sampling(self, trajectory: str, stage: Stage, turn: int) -> Sampling:
        """How a turn is drawn: the profile's temperature, a seed of its own; a repeated draw is a little hotter.

        Of the edits after a first one that failed, 0.24 and 0.12 passed at 0.8, 0.33 and 0.17 at 1.0.
        """
        profile = self.model.profile
        return Sampling(
            profile.temperature + (_HOTTER if turn and self.draws_anew else 0.0),
            profile.top_p,
            profile.edit_tokens if stage is Stage.EDITING else profile.script_tokens,
            seed_of(self.seed, self.task.issue, trajectory, stage, str(turn)),
        )


def closed(answer: Completion) -> Completion:
    """The answer with its last code block closed, where the stop text that ended it was that block's end."""
    fences = sum(line.lstrip().startswith("```") for line in answer.text.splitlines())
    if answer.finish == "stop" and fences % 2:
        return replace(answer, text=answer.text.rstrip("\n") + FENCE_END)
    return answer


async def patiently(action: Callable[[], Awaitable[T]]) -> T:
    """Try again, twice, when the engine lost or forgot us: that says nothing about the code."""
    for attempt in range(_RETRIES):
        try:
            return await action()
        except (SandboxLost, SandboxTimeout):
            await anyio.sleep(0.2 * 4**attempt)
    return await action()


@dataclass
class Exchange:
    """The turns of one trajectory in one stage. The only thing here that changes; nobody else holds it."""

    ground: Ground
    stage: Stage
    trajectory: str
    prompts: list[str] = field(default_factory=list[str])
    answers: list[Completion] = field(default_factory=list[Completion])

    @property
    def turn(self) -> int:
        """Turns that have been answered."""
        return len(self.answers)

    def request(self, prompt: str, drop: int = 0, *, alone: bool = False) -> Request:
        """The request of the next turn, without `drop` of the oldest turns after the first prompt.

        `alone`: the prompt says everything, so no earlier turn goes with it.
        """
        messages = [Message("system", self.ground.system)]
        said = 0 if alone else len(self.answers)
        pairs = list(zip([*self.prompts[:said], prompt], [*self.answers[:said], None], strict=True))
        messages.append(Message("user", pairs[0][0]))
        # Dropping an answer goes with the prompt that followed it, so that roles keep alternating.
        for (_, answer), (following, _) in list(pairwise(pairs))[drop:]:
            messages += [Message("assistant", answer.text if answer else ""), Message("user", following)]
        sampling = self.ground.sampling(self.trajectory, self.stage, self.turn)
        return Request(tuple(messages), sampling, self.stage, self.trajectory, self.turn)

    async def ask(self, prompt: str, given: Completion | None = None, *, alone: bool = False) -> Completion:
        """The answer to the next prompt. `given`: it was drawn together with others' already.

        When the conversation outgrows the window, its middle turns are left out, oldest first. Raises ContextTooLong
        when the first prompt and the newest alone do not fit, and the other leaves of ModelError.
        """
        answer = closed(given if given is not None else await self._fitting(prompt, alone))
        self.prompts.append(prompt)
        self.answers.append(answer)
        return answer

    async def _fitting(self, prompt: str, alone: bool) -> Completion:
        profile = self.ground.model.profile
        count = counter(profile.chars_per_token)
        # The first prompt says what to do and the newest exchange how far it went: these are never dropped.
        most = 0 if alone else max(0, len(self.answers) - 1)
        for drop in range(most + 1):
            request = self.request(prompt, drop, alone=alone)
            room = profile.context_tokens - request.sampling.max_tokens
            last = drop == most
            if not last and sum(count(message.content) + 8 for message in request.messages) > room:
                continue
            try:
                (answer,) = await self.ground.model.complete(request)
            except ContextTooLong:
                if last:
                    raise
            else:
                return answer
        raise ContextTooLong("the prompt does not fit the model's context")

    def close(self, outcome: Outcome, feedback: str = "") -> None:
        """Record the turn that was just answered, with what it led to."""
        index = self.turn - 1
        prompt = self.prompts[index]
        turn = Turn(self.stage, self.trajectory, index, prompt, self.answers[index], outcome, feedback)
        self.ground.recorder.turn(turn)
