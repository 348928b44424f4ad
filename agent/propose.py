"""Proposes candidates: N trajectories, each writing a test script and then an edit, side by side.

They may come in steps, after each of which the caller says whether there are enough. A trajectory is the same whatever
the number of steps that follow.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace

import anyio

from agent.context.gather import Context
from agent.editing import edit
from agent.errors import ModelDenied, ModelError, ModelUnavailable
from agent.example_scripts import issue_scripts
from agent.exchange import Exchange, Ground
from agent.model.base import Completion, Model, Stage
from agent.task import Task
from agent.test_writing import write_script
from agent.trajectory import ISSUE, Candidate, Recorder, TestScript
from sandbox.base import Limits, Sandbox
from sandbox.errors import SandboxError


@dataclass(frozen=True)
class ProposeSettings:
    """How many trajectories, how many turns each may take, and what one execution may use."""

    candidates: int = 8
    steps: tuple[int, ...] = ()
    """Numbers of trajectories, rising and below `candidates`, after which it is asked whether there are enough."""
    test_turns: int | None = None
    edit_turns: int | None = None
    """None: what the model's profile says."""
    seed: int = 0
    limits: Limits = field(default_factory=Limits)
    parallel: int = 4
    """Executions of this task at once."""
    review: bool | None = None
    """Ask the model once whether a passing edit is right. None: where it writes scripts with exit codes of its own,
    the sign of a strong model; a small one answers such questions at random."""


@dataclass(frozen=True)
class Proposed:
    """All candidates, and all test scripts: also those whose trajectory gave no candidate, at the end the issue's."""

    candidates: tuple[Candidate, ...]
    scripts: tuple[TestScript, ...]


Enough = Callable[[int, Proposed], Awaitable[bool]]
"""Asked with the number of trajectories that have run, and what they all proposed."""


def names_of(count: int) -> list[str]:
    """What the first so many trajectories are called, in requests and wherever they are told of."""
    return [f"trajectory-{number}" for number in range(count)]


async def never(trajectories: int, proposed: Proposed) -> bool:
    """Whether there are enough: all that may be made are made."""
    return False


async def propose(
    task: Task,
    context: Context,
    sandbox: Sandbox,
    model: Model,
    settings: ProposeSettings,
    recorder: Recorder,
    enough: Enough = never,
) -> Proposed:
    """Run the trajectories, up to the step after which there are `enough`. Candidates and scripts come in their order.

    Failures of single trajectories are noted and never touch the others. Raises what ended the trajectories when all
    of them, up to a step, died of the model (ModelUnavailable, ModelDenied) or of the sandbox (SandboxError).
    """
    ground = _ground(task, context, sandbox, model, settings, recorder)
    return await _Trajectories(ground, settings).run(enough)


async def propose_scripts(
    task: Task,
    context: Context,
    sandbox: Sandbox,
    model: Model,
    settings: ProposeSettings,
    recorder: Recorder,
) -> tuple[TestScript, ...]:
    """The test-writing trajectories alone, `settings.candidates` of them, for candidates that others made.

    The issue's own examples come behind them.

    Raises what ended all of them, as `propose` does.
    """
    ground = _ground(task, context, sandbox, model, settings, recorder)
    return await _Trajectories(ground, settings).scripts()


def _ground(
    task: Task, context: Context, sandbox: Sandbox, model: Model, settings: ProposeSettings, recorder: Recorder
) -> Ground:
    limits, seed, parallel = settings.limits, settings.seed, settings.parallel
    return Ground.of(task, context, sandbox, model, recorder, limits=limits, seed=seed, parallel=parallel)


class _Trajectories:
    """The state of one `propose`: who has written which script, who has failed of what."""

    def __init__(self, ground: Ground, settings: ProposeSettings) -> None:
        self._ground = ground
        self._settings = settings
        count = settings.candidates
        self._names = names_of(count)
        self._scripts: list[TestScript | None] = [None] * count
        self._written = [anyio.Event() for _ in range(count)]
        self._candidates: list[Candidate | None] = [None] * count
        self._examples: tuple[TestScript, ...] = ()
        self._read = anyio.Event()
        """The issue's examples have run."""
        self._failures: list[Exception] = []
        self._begun = self._ended = 0

    async def run(self, enough: Enough) -> Proposed:
        for step in self._settings.steps:
            proposed = await self._up_to(step)
            if await enough(step, proposed):
                return proposed
        return await self._up_to(self._settings.candidates)

    async def _up_to(self, step: int) -> Proposed:
        """Run the trajectories that were not begun, up to that number; what all of them have proposed."""
        await self._all(self._trajectory, step)
        candidates = tuple(candidate for candidate in self._candidates if candidate is not None)
        if not candidates:
            self._raise_what_ended_all()
        own = [script for script in self._scripts if script is not None]
        own += [c.script for c in candidates if c.script is not None and c.script.trajectory != ISSUE]
        own += self._examples
        scripts = {script.id: script for script in own}
        return Proposed(candidates, tuple(scripts.values()))

    async def scripts(self) -> tuple[TestScript, ...]:
        async def one(number: int, first: _FirstTurns) -> None:
            failed = await self._script(number, first)
            self._failures += [failed] if failed is not None else []
            self._ended += 1
            self._progress()

        await self._all(one, self._settings.candidates)
        scripts = {script.id: script for script in self._scripts if script is not None}
        if not scripts:
            self._raise_what_ended_all()
        return (*scripts.values(), *self._examples)

    async def _all(self, trajectory: Callable[[int, _FirstTurns], Coroutine[object, object, None]], step: int) -> None:
        numbers = range(self._begun, step)
        self._begun = step
        first = _FirstTurns(self._ground, self._names, numbers)
        self._progress()
        async with anyio.create_task_group() as group:
            group.start_soon(first.draw)
            if not self._read.is_set():
                group.start_soon(self._read_examples)
            for number in numbers:
                group.start_soon(trajectory, number, first)

    async def _read_examples(self) -> None:
        try:
            self._examples = await issue_scripts(self._ground)
        finally:
            self._read.set()

    def _raise_what_ended_all(self) -> None:
        if len(self._failures) >= self._begun:
            worst = [error for error in self._failures if isinstance(error, ModelDenied | ModelUnavailable)]
            lost = [error for error in self._failures if isinstance(error, SandboxError)]
            if len(worst) >= self._begun:
                raise worst[0]
            if len(lost) >= self._begun:
                raise lost[0]

    def _progress(self) -> None:
        self._ground.recorder.stage("propose", self._ended, len(self._names))

    async def _trajectory(self, number: int, first: _FirstTurns) -> None:
        name = self._names[number]
        profile = self._ground.model.profile
        review = self._settings.review
        if review is None:
            review = profile.script_style == "exit_codes"
        try:
            failed = await self._script(number, first)
            if isinstance(failed, ModelUnavailable | ModelDenied):
                self._failures.append(failed)
                return
            examples = await self._heard()
            script = await self._seed(number, examples)
            turns = self._settings.edit_turns or profile.edit_turns
            self._candidates[number] = await edit(
                self._ground, name, number, script, turns, review=review, examples=examples
            )
        except (ModelError, SandboxError) as error:
            self._failures.append(error)
            self._failed(name, "editing", error)
        finally:
            self._ended += 1
            self._progress()

    async def _script(self, number: int, first: _FirstTurns) -> Exception | None:
        """Have a trajectory's script written; what kept it from being."""
        name, turns = self._names[number], self._settings.test_turns or self._ground.model.profile.test_turns
        try:
            self._scripts[number] = await write_script(self._ground, name, turns, lambda: first.answer(number))
        except (ModelError, SandboxError) as error:
            self._failed(name, "test_writing", error)
            return error
        finally:
            self._written[number].set()
        return None

    def _failed(self, name: str, stage: str, error: Exception) -> None:
        detail: dict[str, object] = {
            "trajectory": name,
            "stage": stage,
            "error": type(error).__name__,
            "message": str(error)[:500],
        }
        self._ground.recorder.note("trajectory_failed", detail)

    async def _heard(self) -> tuple[TestScript, ...]:
        """The examples that edits are checked with. A model that mends keeps to its own scripts: theirs is the vote."""
        if not self._ground.draws_anew:
            return ()
        await self._read.wait()
        return tuple(example for example in self._examples if example.valid or example.guard)

    async def _seed(self, number: int, examples: Sequence[TestScript]) -> TestScript | None:
        """The trajectory's own script if it is valid; else an example, or another's; None when nobody has one.

        Only a trajectory that needs another's script waits for the others, and for all that were begun: who is first
        differs from run to run, and the choice must not.
        """
        own = self._scripts[number]
        if own is not None and own.valid:
            return own
        if shown := [example for example in examples if example.valid]:
            return shown[number % len(shown)]
        for event in self._written[: self._begun]:
            await event.wait()
        valid = [script for script in self._scripts if script is not None and script.valid]
        without = [n for n, script in enumerate(self._scripts) if script is None or not script.valid]
        return valid[without.index(number) % len(valid)] if valid else None


class _FirstTurns:
    """The first test-writing turns of a step, drawn as one request, so that the prefix is computed once."""

    def __init__(self, ground: Ground, names: Sequence[str], numbers: range) -> None:
        self._ground = ground
        self._names = names
        self._numbers = numbers
        self._answers: tuple[Completion, ...] | Exception | None = None
        self._drawn = anyio.Event()

    async def draw(self) -> None:
        begin = self._numbers.start
        whole = Exchange(self._ground, Stage.TEST_WRITING, self._names[0]).request(self._ground.script_prompt)
        # Answer `j` is drawn with seed + j: a trajectory's first turn does not depend on the step it comes in.
        sampling = replace(whole.sampling, seed=whole.sampling.seed + begin)
        request = replace(whole, sampling=sampling, trajectory=self._names[begin])
        try:
            self._answers = await self._ground.model.complete(request, len(self._numbers))
        except ModelError as error:
            self._answers = error
        finally:
            self._drawn.set()

    async def answer(self, number: int) -> Completion:
        """The answer of one trajectory. Raises what the request raised."""
        await self._drawn.wait()
        if isinstance(self._answers, Exception):
            raise self._answers
        assert self._answers is not None  # noqa: S101 - draw sets it before the event
        return self._answers[number - self._numbers.start]
