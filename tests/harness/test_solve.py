"""The whole way of one issue with a scripted model, on sandboxes of this host (Docker: test_solve_docker.py)."""

from __future__ import annotations

import importlib
from itertools import pairwise
from pathlib import Path

import anyio
import jsonschema
import pytest

from agent.context.gather import Context
from agent.errors import ModelSpecError, ModelUnavailable
from agent.model.base import Request, Stage
from agent.model.scripted import Rule, ScriptedModel, load_scripted
from agent.task import Task
from harness import Result, Settings, Status, local_task, solve
from harness.config import BudgetSettings, SelectionSettings
from harness.errors import RunConflict
from harness.progress import Silence
from sandbox.base import Patch
from sandbox.errors import DiskFull, EngineUnavailable, EnvironmentUnavailable, SandboxLost
from tests.harness.conftest import ISSUE, git
from tests.harness.host_sandbox import HostBackend


@pytest.fixture
def settings() -> Settings:
    return Settings(candidates=4, selection=SelectionSettings(regression_seconds=0.0))


@pytest.fixture
def task(repo: Path, settings: Settings) -> Task:
    return local_task(repo, ISSUE, settings)


@pytest.fixture
def model(rules: Path) -> ScriptedModel:
    return load_scripted(rules)


def written(out: Path) -> Result:
    return Result.model_validate_json((out / "result.json").read_bytes())


async def test_the_right_patch_is_selected_and_written(
    task: Task, settings: Settings, model: ScriptedModel, tmp_path: Path, repo: Path
) -> None:
    backend, out = HostBackend(), tmp_path / "out"
    settings = settings.model_copy(update={"selection": SelectionSettings(regression_seconds=60.0)})
    result = await solve(task, settings, out=out, model=model, backend=backend)
    assert result.status is Status.SELECTED
    assert "+    return a + b" in result.patch
    assert result == written(out)
    assert (out / "patch.diff").read_text() == result.patch
    git(repo, "apply", "--check", str(out / "patch.diff"))
    assert result.winner is not None
    assert result.winner in (out / "report.html").read_text()
    assert len(result.candidates) == 4
    assert result.candidates[0].rank == 1
    assert result.regression is not None
    assert result.regression.passing == 1
    assert {stage.value for stage in (Stage.TEST_WRITING, Stage.EDITING)} < set(result.usage)
    assert set(result.stage_seconds) == {"model", "environment", "context", "candidates", "selection"}
    assert result.usage["total"].calls == len(model.requests)
    assert (backend.opened, backend.ended, backend.closed) == (1, 1, 0), "what was given stays open"
    jsonschema.validate(result.model_dump(mode="json"), Result.model_json_schema())


async def test_all_requests_of_a_task_are_the_same_up_to_where_they_differ(
    task: Task, settings: Settings, tmp_path: Path
) -> None:
    """What a server's prefix cache lives on: one system message for all stages, and conversations that only grow."""
    scripts = [f"```python\nfrom calc import add\nassert add{case}\n```" for case in ("(1, 2) == 3", "(2, 2) == 5")]
    sums = ["a + b", "5 if a == b else 0"]  # one for each script, so that the votes are even
    edits = [f"calc.py\n```python\ndef add(a, b):\n    return {text}\n```" for text in sums]
    compares = ["```python\nfrom calc import add\nprint(add(2, 5))\n```"]
    model = ScriptedModel(
        [
            Rule(*scripts, stage=Stage.TEST_WRITING),
            Rule(*edits, stage=Stage.EDITING),
            Rule(*compares, stage=Stage.COMPARISON),
        ]
    )
    turns = settings.selection.model_copy(update={"comparison_turns": 2})
    await solve(
        task, settings.model_copy(update={"selection": turns}), out=tmp_path / "out", model=model, backend=HostBackend()
    )
    asked = [r for r in model.requests if r.stage in (Stage.TEST_WRITING, Stage.EDITING, Stage.COMPARISON)]
    assert {r.stage for r in asked} == {Stage.TEST_WRITING, Stage.EDITING, Stage.COMPARISON}
    assert len({r.messages[0] for r in asked}) == 1
    assert sum(r.stage is Stage.TEST_WRITING and r.turn == 0 for r in asked) == 1, "all first scripts are one request"
    conversations: dict[tuple[Stage, str], list[Request]] = {}
    for request in sorted(asked, key=lambda r: r.turn):
        conversations.setdefault((request.stage, request.trajectory), []).append(request)
    grown = 0
    for before, after in (pair for requests in conversations.values() for pair in pairwise(requests)):
        assert after.messages[: len(before.messages)] == before.messages
        grown += 1
    assert grown > 0


async def test_the_same_directory_repeats_nothing(
    task: Task, settings: Settings, model: ScriptedModel, tmp_path: Path
) -> None:
    first = await solve(task, settings, out=tmp_path / "out", model=model, backend=HostBackend())
    silent, backend = ScriptedModel([], model.profile), HostBackend()
    again = await solve(task, settings, out=tmp_path / "out", model=silent, backend=backend)
    assert silent.requests == []
    assert (backend.ran, backend.patches) == ([], 0)
    times = {"wall_seconds", "stage_seconds", "sandbox_seconds"}
    assert again.model_dump(exclude=times) == first.model_dump(exclude=times)
    assert again.wall_seconds > first.wall_seconds  # the time of both
    assert again.sandbox_seconds == first.sandbox_seconds


async def test_a_run_that_goes_on_has_the_context_it_had(
    task: Task, settings: Settings, model: ScriptedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cache of the survey had grown by what the run itself had put there: 28 minutes were begun anew."""
    first = await solve(task, settings, out=tmp_path / "out", model=model, backend=HostBackend())

    async def gather(*_: object, **__: object) -> Context:
        raise AssertionError("the context is gathered anew")

    monkeypatch.setattr(importlib.import_module("harness.solve"), "gather", gather)
    again = await solve(task, settings, out=tmp_path / "out", model=model, backend=HostBackend())
    assert again.status is Status.SELECTED
    assert again.patch == first.patch
    assert again.usage["total"].calls == first.usage["total"].calls


async def test_a_failing_start_is_a_result_and_the_next_try_goes_on(
    task: Task, settings: Settings, model: ScriptedModel, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    broken = HostBackend(EnvironmentUnavailable("pip failed", log="line\n" * 9000 + "the end"))
    result = await solve(task, settings, out=out, model=model, backend=broken)
    assert result.status is Status.FAILED
    assert result.error is not None
    assert result.error.kind == "EnvironmentUnavailable"
    assert "--install" in result.error.message
    assert result.error.log.endswith("the end")
    assert len(result.error.log) <= 20_000
    assert broken.closed == 0
    assert written(out).status is Status.FAILED
    assert not (out / "patch.diff").exists()
    result = await solve(task, settings, out=out, model=model, backend=HostBackend())
    assert result.status is Status.SELECTED


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (EngineUnavailable("no engine"), "doctor --mend"),
        (DiskFull("1 GB free"), "free_disk_bytes"),
        (SandboxLost("gone"), "gone"),
        (ZeroDivisionError("oops"), "defect in bestpatch"),
    ],
)
async def test_what_fails_says_what_to_do(
    task: Task, settings: Settings, model: ScriptedModel, tmp_path: Path, error: Exception, hint: str
) -> None:
    result = await solve(task, settings, out=tmp_path / "out", model=model, backend=HostBackend(error))
    assert result.status is Status.FAILED
    assert result.error is not None
    assert result.error.kind == type(error).__name__
    assert hint in result.error.message


async def test_no_image_is_built_for_an_endpoint_that_is_not_there(
    task: Task, settings: Settings, tmp_path: Path, free_port: int
) -> None:
    backend = HostBackend()
    settings = settings.model_copy(update={"model": f"openai:m@http://127.0.0.1:{free_port}/v1"})
    with anyio.fail_after(30):
        result = await solve(task, settings, out=tmp_path / "out", backend=backend)
    assert result.status is Status.FAILED
    assert result.error is not None
    assert result.error.kind == "ModelUnavailable"
    assert str(free_port) in result.error.message
    assert backend.opened == 0


async def test_a_wrong_model_spec_leaves_nothing_behind(task: Task, settings: Settings, tmp_path: Path) -> None:
    settings = settings.model_copy(update={"model": "gpt-17"})
    with pytest.raises(ModelSpecError, match=r"'gpt-17'.*vllm:NAME_OR_PATH"):
        await solve(task, settings, out=tmp_path / "out", backend=HostBackend())
    assert not (tmp_path / "out").exists()


async def test_other_settings_on_the_same_directory(
    task: Task, settings: Settings, model: ScriptedModel, tmp_path: Path
) -> None:
    await solve(task, settings, out=tmp_path / "out", model=model, backend=HostBackend())
    kept = (tmp_path / "out" / "result.json").read_bytes()
    other = settings.model_copy(update={"seed": 1})
    with pytest.raises(RunConflict, match="seed: 0 there, 1 now"):
        await solve(task, other, out=tmp_path / "out", model=model, backend=HostBackend())
    assert (tmp_path / "out" / "result.json").read_bytes() == kept
    # What does not decide about the outcome may change: here the confidence that is asked for.
    strict = settings.model_copy(update={"selection": settings.selection.model_copy(update={"min_confidence": 1.0})})
    result = await solve(task, strict, out=tmp_path / "out", model=model, backend=HostBackend())
    assert result.status is Status.ABSTAINED
    assert result.patch == ""
    assert result.winner is None
    assert result.confidence is not None
    assert not (tmp_path / "out" / "patch.diff").exists()


async def test_no_candidate(task: Task, settings: Settings, tmp_path: Path) -> None:
    model = ScriptedModel([Rule("I would rather not.")])
    result = await solve(task, settings, out=tmp_path / "out", model=model, backend=HostBackend())
    assert result.status is Status.NO_CANDIDATE
    assert (tmp_path / "out" / "report.html").is_file()


async def test_a_budget_that_ends_before_a_candidate(
    task: Task, settings: Settings, model: ScriptedModel, tmp_path: Path
) -> None:
    poor = settings.model_copy(update={"budget": BudgetSettings(tokens=1)})
    result = await solve(task, poor, out=tmp_path / "out", model=model, backend=HostBackend())
    assert result.status is Status.BUDGET_SPENT
    assert len(model.requests) == 1
    assert result.usage["total"].prompt_tokens > 0
    # More budget on the same directory goes on, and does not pay for the first request again.
    result = await solve(task, settings, out=tmp_path / "out", model=model, backend=HostBackend())
    assert result.status is Status.SELECTED
    assert result.usage["total"].calls == len(model.requests)


async def test_a_budget_that_ends_later_leaves_a_selection(
    task: Task, settings: Settings, model: ScriptedModel, tmp_path: Path
) -> None:
    full = await solve(task, settings, out=tmp_path / "full", model=model, backend=HostBackend())
    tokens = full.usage["total"].prompt_tokens + full.usage["total"].completion_tokens
    enough = settings.model_copy(update={"budget": BudgetSettings(tokens=round(0.6 * tokens))})
    result = await solve(task, enough, out=tmp_path / "out", model=model, backend=HostBackend())
    assert 0 < len(result.candidates) <= len(full.candidates)
    assert result.status is Status.SELECTED


class Interrupter(Silence):
    """Cancels the run when a trajectory has ended."""

    def __init__(self, scope: anyio.CancelScope, after: int) -> None:
        self.scope = scope
        self.after = after

    def stage(self, stage: str, done: int, total: int) -> None:
        if stage == "propose" and done >= self.after:
            self.scope.cancel()


async def test_an_interrupted_run_keeps_what_it_has_and_goes_on(
    task: Task, settings: Settings, rules: Path, model: ScriptedModel, tmp_path: Path
) -> None:
    slow = ScriptedModel(
        [
            Rule("never", stage=Stage.EDITING, trajectory="*-3", delay=600.0),
            Rule(lambda request: "", stage=Stage.RANKING),
            *load_scripted(rules)._rules,  # pyright: ignore[reportPrivateUsage]
        ]
    )
    backend, out = HostBackend(), tmp_path / "out"
    with anyio.CancelScope() as scope:
        await solve(task, settings, out=out, model=slow, backend=backend, watcher=Interrupter(scope, after=3))
    assert scope.cancelled_caught
    assert (backend.ended, backend.closed) == (1, 0)
    partial = written(out)
    assert partial.status is Status.INTERRUPTED
    assert [candidate.trajectory for candidate in partial.candidates] == [f"trajectory-{n}" for n in range(3)]
    assert all(candidate.patch for candidate in partial.candidates)
    assert len(partial.scripts) >= 3
    assert not (out / "patch.diff").exists()
    assert (out / "report.html").is_file()
    # Going on asks only what is missing, and ends as an uninterrupted run does.
    result = await solve(task, settings, out=out, model=model, backend=HostBackend())
    assert {request.trajectory for request in model.requests} <= {"trajectory-3", "comparison-0", "comparison-1"}
    whole = await solve(task, settings, out=tmp_path / "whole", model=load_scripted(rules), backend=HostBackend())
    times = {"wall_seconds", "stage_seconds", "sandbox_seconds", "manifest", "matrix", "comparison", "usage"}
    assert result.model_dump(exclude=times) == whole.model_dump(exclude=times)
    verdicts = [{(cell.script, cell.column): cell.verdict for cell in each.matrix} for each in (result, whole)]
    assert verdicts[0] == verdicts[1]


EXAMPLES = "add returns the difference\n\nadd(1, 2) == 3\nadd(5, 0) == 5\n"


async def test_the_issues_own_examples_vote(repo: Path, settings: Settings, rules: Path, tmp_path: Path) -> None:
    task = local_task(repo, EXAMPLES, settings)
    result = await solve(task, settings, out=tmp_path / "out", model=load_scripted(rules), backend=HostBackend())
    assert "+    return a + b" in result.patch
    assert "It passes both examples of the issue." in result.reasons
    shown, held = (script for script in result.scripts if script.trajectory == "issue")
    assert [shown.id, held.id] == ["script-issue-0", "script-issue-1"]
    assert (shown.valid, held.valid) == (True, False)
    assert "assert found == 3" in shown.source
    verdicts = {cell.column: cell.verdict for cell in result.matrix if cell.script == held.id}
    assert verdicts["unedited"] == "passed"
    wrong = [made.class_id for made in result.candidates if "return 3" in made.patch]
    assert wrong
    assert {verdicts[str(name)] for name in wrong} == {"failed"}
    # A guard that somebody fails has a weight, and no example is its author's.
    assert held.weight > 0


async def test_a_journal_from_before_examples_goes_on(
    repo: Path, settings: Settings, rules: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(ground: object) -> tuple[()]:
        return ()

    task = local_task(repo, EXAMPLES, settings)
    with monkeypatch.context() as before:
        before.setattr("agent.propose.issue_scripts", nothing)
        old = await solve(task, settings, out=tmp_path / "out", model=load_scripted(rules), backend=HostBackend())
    assert not any(script.trajectory == "issue" for script in old.scripts)
    result = await solve(task, settings, out=tmp_path / "out", model=load_scripted(rules), backend=HostBackend())
    whole = await solve(task, settings, out=tmp_path / "whole", model=load_scripted(rules), backend=HostBackend())
    assert (result.patch, result.reasons, result.scripts) == (whole.patch, whole.reasons, whole.scripts)


async def test_a_model_that_dies_in_the_middle(task: Task, settings: Settings, tmp_path: Path) -> None:
    model = ScriptedModel([Rule(ModelUnavailable("the server vanished"))])
    result = await solve(task, settings, out=tmp_path / "out", model=model, backend=HostBackend())
    assert result.status is Status.FAILED
    assert result.error is not None
    assert "the server vanished" in result.error.message


async def test_secrets_stay_out_of_the_run_directory(
    repo: Path, rules: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("BESTPATCH_API_KEY", "OPENAI_API_KEY", "HF_TOKEN"):
        monkeypatch.setenv(name, "sk-very-secret")
    settings = Settings(candidates=2, model=f"scripted:{rules}")
    await solve(local_task(repo, ISSUE, settings), settings, out=tmp_path / "out", backend=HostBackend())
    for path in (tmp_path / "out").iterdir():
        assert b"very-secret" not in path.read_bytes(), path


async def test_profile_overrides_reach_the_model(repo: Path, rules: Path, tmp_path: Path) -> None:
    from harness.config import ProfileSettings

    settings = Settings(
        candidates=1,
        model=f"scripted:{rules}",
        profile=ProfileSettings.model_validate({"price": {"prompt": 1000000, "completion": 0}}),
    )
    result = await solve(local_task(repo, ISSUE, settings), settings, out=tmp_path / "out", backend=HostBackend())
    assert result.usage["total"].money == result.usage["total"].prompt_tokens > 0


def test_a_patch_is_not_changed_by_writing_it(tmp_path: Path) -> None:
    from harness.outcome import _write  # pyright: ignore[reportPrivateUsage]

    patch = Patch("--- a\r\n+++ b\r\n@@\r\n-\N{SNOWMAN}\r\n")
    _write(tmp_path / "patch.diff", patch)
    assert (tmp_path / "patch.diff").read_bytes() == patch.encode()
