"""A batch with a scripted model on sandboxes in memory: every task comes to its end, whatever happens to others."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import anyio
import pytest

from agent.errors import ModelUnavailable
from agent.model.base import Completion, Request, Stage
from agent.model.scripted import Rule, ScriptedModel, load_scripted
from agent.task import Task, TaskId
from harness import Settings
from harness.batch import BatchSettings, Job, batch
from harness.batch_record import BatchSummary, TaskOutcome, model_name
from harness.batch_watch import BatchSilence
from harness.config import BudgetSettings, SandboxSettings, SelectionSettings
from harness.errors import InstanceError, RunConflict
from harness.result import Result, Status
from sandbox.base import ImageName
from sandbox.errors import EngineUnavailable, EnvironmentUnavailable
from tests.harness.conftest import FILES, ISSUE

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from noop import MemoryBackend, MemorySandbox


def fixed(script: str, files: object) -> int:
    return 0 if "a + b" in str(files) else 2


class Server(ScriptedModel):
    """A scripted model server that can be away, and says how many it answers at once."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        super().__init__(rules)
        self.down: Exception | None = None
        self.in_flight = self.most = 0

    async def complete(self, request: Request, n: int = 1) -> tuple[Completion, ...]:
        await self.check()
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        try:
            return await super().complete(request, n)
        finally:
            self.in_flight -= 1

    async def check(self) -> None:
        if self.down is not None:
            raise self.down


@pytest.fixture
def model(rules: Path) -> Server:
    return Server(load_scripted(rules)._rules)  # pyright: ignore[reportPrivateUsage]


@pytest.fixture
def backend() -> MemoryBackend:
    return MemoryBackend(FILES, fixed)


@pytest.fixture
def settings(own_world: Path) -> Settings:
    return Settings(
        candidates=3,
        selection=SelectionSettings(regression_seconds=0.0),
        sandbox=SandboxSettings(parallel=2, builds=1),
    )


def task_named(name: str, issue: str = ISSUE) -> Task:
    return Task(TaskId(name), issue, "repo", "0" * 40, ImageName("memory"))


def job(name: str, make: Callable[[Path], Task] | None = None, digest: str = "d") -> Job:
    return Job(name, digest, make or (lambda folder: task_named(name)))


def jobs(count: int) -> list[Job]:
    return [job(f"task-{number}") for number in range(count)]


def predictions(run: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (run / "predictions.jsonl").read_text().splitlines()]


def unready(folder: Path) -> Task:
    raise InstanceError("bad", "bad: no such commit")


async def test_every_task_is_solved_and_written(
    settings: Settings, model: Server, backend: MemoryBackend, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    summary = await batch(jobs(6), settings, run=run, model=model, backend=backend)
    assert summary.counts == {"selected": 6}
    assert [line["instance_id"] for line in predictions(run)] == [f"task-{number}" for number in range(6)]
    assert all("+    return a + b" in line["model_patch"] for line in predictions(run))
    assert {line["model_name_or_path"] for line in predictions(run)} == {model_name("scripted")}
    assert (backend.opened, backend.ended, backend.closed) == (6, 6, 0), "one backend for all, which stays open"
    assert 0 < summary.resolved_estimate <= 6
    assert summary == BatchSummary.model_validate_json((run / "summary.json").read_bytes())
    report = (run / "report.html").read_text()
    for number in range(6):
        folder = run / "tasks" / f"task-{number}"
        assert f'href="tasks/task-{number}/report.html"' in report
        assert (folder / "patch.diff").read_text() == predictions(run)[number]["model_patch"]
        assert Result.model_validate_json((folder / "result.json").read_bytes()).status is Status.SELECTED
        assert not (folder / "snapshot").exists()
    assert summary.usage.calls == sum(
        Result.model_validate_json((run / "tasks" / f"task-{number}" / "result.json").read_bytes()).usage["total"].calls
        for number in range(6)
    )


async def test_what_sampling_that_ended_early_has_saved(
    settings: Settings, model: Server, backend: MemoryBackend, tmp_path: Path
) -> None:
    risky = SelectionSettings(regression_seconds=0.0, risk=0.05)
    settings = settings.model_copy(update={"candidates": 16, "selection": risky})
    summary = await batch(jobs(2), settings, run=tmp_path, model=model, backend=backend)
    assert summary.saved is not None
    results = [
        Result.model_validate_json((tmp_path / "tasks" / f"task-{number}" / "result.json").read_bytes())
        for number in range(2)
    ]
    assert summary.saved.candidates == sum(r.stopped.asked - r.stopped.made for r in results if r.stopped) > 0
    assert [line.saved for line in summary.lines] == [r.stopped and r.stopped.saved for r in results]
    again = await batch(jobs(2), settings, run=tmp_path, model=Server([]), backend=backend)
    assert again.saved == summary.saved


async def test_finished_tasks_are_not_opened_again(
    settings: Settings, model: Server, backend: MemoryBackend, tmp_path: Path
) -> None:
    first = await batch(jobs(2), settings, run=tmp_path, model=model, backend=backend)

    def made_again(folder: Path) -> Task:
        raise AssertionError("the task is made again")

    silent, untouched = Server([]), MemoryBackend(FILES, fixed)
    known = [job(f"task-{number}", made_again) for number in range(2)]
    again = await batch([*known, job("task-2")], settings, run=tmp_path, model=model, backend=untouched)
    assert untouched.opened == 1, "only the task that was added"
    assert [line["instance_id"] for line in predictions(tmp_path)] == ["task-0", "task-1", "task-2"]
    third = await batch(known, settings, run=tmp_path, model=silent, backend=untouched)
    assert silent.requests == []
    assert [line.instance_id for line in third.lines] == ["task-0", "task-1"]
    assert third.resolved_estimate == first.resolved_estimate
    assert again.wall_seconds > first.wall_seconds


async def test_one_that_fails_touches_no_other(
    settings: Settings, model: Server, backend: MemoryBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = backend.open

    async def open_some(*args: object, **names: object) -> MemorySandbox:
        if "no-image" in str(args):
            raise EnvironmentUnavailable("pip failed", log="the log")
        if "defect" in str(args):
            raise ZeroDivisionError("oops")
        return await real(*args, **names)  # type: ignore[arg-type]

    monkeypatch.setattr(backend, "open", open_some)

    def with_image(name: str) -> Callable[[Path], Task]:
        return lambda folder: Task(TaskId(name), ISSUE, "repo", "0" * 40, ImageName(name))

    def crash(folder: Path) -> Task:
        raise RuntimeError("crash")

    work = [
        *(job("good-0"), job("bad", unready), job("no-image", with_image("no-image"))),
        *(job("defect", with_image("defect")), job("crash", crash), job("good-1")),
    ]
    summary = await batch(work, settings, run=tmp_path, model=model, backend=backend)
    assert summary.counts == {"selected": 2, "failed": 4}
    kinds = {line.instance_id: line.error.kind for line in summary.lines if line.error}
    assert kinds == {
        "bad": "InstanceError",
        "no-image": "EnvironmentUnavailable",
        "defect": "ZeroDivisionError",
        "crash": "RuntimeError",
    }
    assert summary.stopped is None
    assert [line["instance_id"] for line in predictions(tmp_path)] == ["good-0", "good-1"]
    assert "pip failed" in (tmp_path / "report.html").read_text()
    assert "RuntimeError: crash" in (tmp_path / "tasks" / "crash" / "defect.log").read_text()
    # These do not pass by themselves: they are tried again only when that is asked for.
    again = await batch(work, settings, run=tmp_path, model=Server([]), backend=MemoryBackend(FILES, fixed))
    assert again.counts == {"selected": 2, "failed": 4}
    mended = [job(each.id) if each.id in ("bad", "crash") else each for each in work]
    third = await batch(mended, settings, run=tmp_path, model=model, backend=backend, how=BatchSettings(retry=True))
    assert third.counts == {"selected": 4, "failed": 2}
    assert [line["instance_id"] for line in predictions(tmp_path)] == ["good-0", "bad", "crash", "good-1"]


async def test_tasks_do_not_wait_for_each_other(
    settings: Settings, rules: Path, backend: MemoryBackend, tmp_path: Path
) -> None:
    """While one task's model call never ends, all the others come to their end."""
    ended: list[str] = []

    class Watch(BatchSilence):
        def ended(self, outcome: TaskOutcome) -> None:
            ended.append(outcome.instance_id)
            if len(ended) == 5:
                scope.cancel()

    plain = load_scripted(rules)._rules  # pyright: ignore[reportPrivateUsage]
    stuck = Server([Rule("never", match="stuck", delay=3600.0), *plain])

    class Seen(Server):
        async def complete(self, request: Request, n: int = 1) -> tuple[Completion, ...]:
            if any("it is stuck" in message.content for message in request.messages):
                await anyio.sleep_forever()
            return await super().complete(request, n)

    seen = Seen(stuck._rules)  # pyright: ignore[reportPrivateUsage]
    work = [job("task-0", lambda folder: task_named("task-0", "it is stuck")), *jobs(6)[1:]]
    with anyio.fail_after(120), anyio.CancelScope() as scope:
        how = BatchSettings(workers=2)
        await batch(work, settings, run=tmp_path, model=seen, backend=backend, how=how, watcher=Watch())
    assert sorted(ended) == [f"task-{number}" for number in range(1, 6)]
    left = BatchSummary.model_validate_json((tmp_path / "summary.json").read_bytes())
    assert left.interrupted
    assert left.counts == {"waiting": 1, "selected": 5}
    partial = Result.model_validate_json((tmp_path / "tasks" / "task-0" / "result.json").read_bytes())
    assert partial.status is Status.INTERRUPTED


async def test_what_is_limited_stays_within_its_limits(
    settings: Settings, model: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = MemoryBackend(FILES, fixed, seconds=0.001)
    past: list[int] = []
    at_work = 0
    real = MemorySandbox.tree

    async def tree(self: MemorySandbox) -> object:
        past.append(backend.opened - backend.ended)
        return await real(self)

    monkeypatch.setattr(MemorySandbox, "tree", tree)
    await batch(jobs(8), settings, run=tmp_path, model=model, backend=backend, how=BatchSettings(workers=3))
    assert at_work == 0
    assert backend.most_open == 2, "workspaces of all tasks together: sandbox.parallel"
    assert max(past) == 4, "three at work, one that is made ready ahead of them"


async def test_priorities_are_the_order_of_the_jobs(
    settings: Settings, model: Server, backend: MemoryBackend, tmp_path: Path
) -> None:
    begun: list[str] = []

    def make(name: str) -> Callable[[Path], Task]:
        def it(folder: Path) -> Task:
            begun.append(name)
            return task_named(name)

        return it

    work = [job(name, make(name)) for name in ("c", "a", "b")]
    await batch(work, settings, run=tmp_path, model=model, backend=backend, how=BatchSettings(workers=1))
    assert begun == ["c", "a", "b"]


async def test_another_configuration_is_refused_with_the_difference(
    settings: Settings, model: Server, backend: MemoryBackend, tmp_path: Path
) -> None:
    await batch(jobs(1), settings, run=tmp_path, model=model, backend=backend)
    kept = (tmp_path / "summary.json").read_bytes()
    other = settings.model_copy(update={"seed": 1})
    with pytest.raises(RunConflict, match=r"(?s)seed: 0 there, 1 now.*--run"):
        await batch(jobs(1), other, run=tmp_path, model=model, backend=backend)
    with pytest.raises(RunConflict, match=r"other instances of the same name: task-0"):
        await batch([job("task-0", digest="e")], settings, run=tmp_path, model=model, backend=backend)
    assert (tmp_path / "summary.json").read_bytes() == kept
    # What decides nothing may change.
    more = settings.model_copy(update={"budget": BudgetSettings(money=7.0)})
    assert (await batch(jobs(1), more, run=tmp_path, model=Server([]), backend=backend)).counts == {"selected": 1}


async def test_the_runs_budget_ends_it_and_more_of_it_goes_on(
    settings: Settings, model: Server, backend: MemoryBackend, tmp_path: Path, rules: Path
) -> None:
    whole = await batch(jobs(4), settings, run=tmp_path / "whole", model=model, backend=backend)
    tokens = whole.usage.prompt_tokens + whole.usage.completion_tokens
    how = BatchSettings(workers=1, budget=BudgetSettings(tokens=tokens // 2))
    run, paid = tmp_path / "run", Server(load_scripted(rules)._rules)  # pyright: ignore[reportPrivateUsage]
    summary = await batch(jobs(4), settings, run=run, model=paid, backend=backend, how=how)
    assert summary.budget_spent == "tokens"
    assert 0 < summary.counts["waiting"] < 4
    spent = summary.usage.prompt_tokens + summary.usage.completion_tokens
    assert tokens // 2 <= spent < tokens * 3 // 4, "it stops within the calls that were in flight"
    again = await batch(jobs(4), settings, run=run, model=paid, backend=backend, how=how)
    assert again.counts == summary.counts, "the same budget buys nothing more"
    assert again.usage == summary.usage
    full = await batch(jobs(4), settings, run=run, model=paid, backend=backend)
    assert full.counts == {"selected": 4}
    assert full.usage == whole.usage
    assert len(paid.requests) == len(model.requests), "nothing was asked twice"
    assert predictions(run) == predictions(tmp_path / "whole")


async def test_a_task_that_its_own_budget_ended_goes_on_with_more_of_it(
    settings: Settings, model: Server, backend: MemoryBackend, tmp_path: Path
) -> None:
    poor = settings.model_copy(update={"budget": BudgetSettings(tokens=1)})
    summary = await batch(jobs(2), poor, run=tmp_path, model=model, backend=backend)
    assert summary.counts == {"budget_spent": 2}
    assert summary.budget_spent is None
    assert [line["model_patch"] for line in predictions(tmp_path)] == ["", ""]
    assert (await batch(jobs(2), poor, run=tmp_path, model=Server([]), backend=backend)).counts == summary.counts
    assert (await batch(jobs(2), settings, run=tmp_path, model=model, backend=backend)).counts == {"selected": 2}


async def test_a_model_that_is_not_there_at_the_start(settings: Settings, tmp_path: Path, free_port: int) -> None:
    nowhere = settings.model_copy(update={"model": f"openai:m@http://127.0.0.1:{free_port}/v1"})
    summary = await batch(jobs(2), nowhere, run=tmp_path, backend=MemoryBackend(FILES, fixed))
    assert summary.stopped is not None
    assert summary.stopped.kind == "ModelUnavailable"
    assert summary.counts == {"waiting": 2}
    assert "Stopped: ModelUnavailable" in (tmp_path / "report.html").read_text()


async def test_an_error_of_one_tasks_own_calls_is_its_own(
    settings: Settings, rules: Path, backend: MemoryBackend, tmp_path: Path
) -> None:
    """The server answers others, so what it refuses is this request's own fault: no waiting, no stop."""

    class Picky(Server):
        async def complete(self, request: Request, n: int = 1) -> tuple[Completion, ...]:
            if any("refuse me" in message.content for message in request.messages):
                raise ModelUnavailable("refuses the request")
            return await super().complete(request, n)

    picky = Picky(load_scripted(rules)._rules)  # pyright: ignore[reportPrivateUsage]
    work = [job("task-0", lambda folder: task_named("task-0", "refuse me")), *jobs(3)[1:]]
    summary = await batch(work, settings, run=tmp_path, model=picky, backend=backend)
    assert summary.counts == {"failed": 1, "selected": 2}
    # A model's failure may pass: the next invocation tries again by itself.
    healed = Server(load_scripted(rules)._rules)  # pyright: ignore[reportPrivateUsage]
    assert (await batch(work, settings, run=tmp_path, model=healed, backend=backend)).counts == {"selected": 3}
    assert {request.stage for request in healed.requests} >= {Stage.TEST_WRITING, Stage.EDITING}


async def test_an_engine_that_is_away_for_good_stops_the_run(
    settings: Settings, model: Server, backend: MemoryBackend, tmp_path: Path
) -> None:
    backend.down = EngineUnavailable("no engine answers")
    how = BatchSettings(patience=0.05)
    summary = await batch(jobs(3), settings, run=tmp_path, model=model, backend=backend, how=how)
    assert summary.stopped is not None
    assert summary.stopped.kind == "EngineUnavailable"
    assert summary.counts == {"waiting": 3}, "it is no failure of a task"
    backend.down = None
    assert (await batch(jobs(3), settings, run=tmp_path, model=model, backend=backend)).counts == {"selected": 3}
