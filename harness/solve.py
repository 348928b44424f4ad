"""The whole way of one issue.

    model server  ─┐
                   ├─> context ─> candidates ─> selection ─> patch.diff, result.json, report.html
    image, sandbox ┘

Each arrow is a plain async function of the layers below; this module only wires them, keeps the clock and the budget,
and writes down what happened, however it ends.
"""

from __future__ import annotations

import traceback
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import anyio
from anyio import to_thread

from agent.context.gather import Context, gather
from agent.errors import AgentError, BudgetSpent
from agent.given import Given, take
from agent.model.base import Model
from agent.model.open import open_model
from agent.model.spec import OpenAI, Scripted, parse_spec
from agent.propose import Enough, Proposed, ProposeSettings, never, propose, propose_scripts
from agent.task import Task
from agent.trajectory import Recorder
from harness.budget import Budget, SpentModel
from harness.closed import ClosedSandbox
from harness.config import Settings, backend_settings, limits_of, serving_of
from harness.errors import HarnessError, JournalError, UsageError
from harness.importable import try_import
from harness.journal import Journal
from harness.outcome import Reached, error_record, identity, status_of
from harness.prices import profile_changes
from harness.progress import Silence, Watcher
from harness.replay import JournaledModel, JournaledSandbox
from harness.result import ErrorRecord, Result, Status
from harness.run import Opening, Run, unwrapped
from harness.sampling import enough, steps_of
from sandbox.base import Backend, RepoPath, Sandbox
from sandbox.errors import SandboxError
from selection.base import Selection
from selection.choose import SelectionSettings, choose

PARTIAL_SECONDS = 20.0
"""How long an interrupted run may take to write down what it has."""


async def solve(
    task: Task,
    settings: Settings | None = None,
    *,
    out: Path | str,
    watcher: Watcher | None = None,
    model: Model | None = None,
    backend: Backend | None = None,
    entrance: anyio.CapacityLimiter | None = None,
    within: Budget | None = None,
    given: Sequence[Given] | None = None,
) -> Result:
    """Solve a task; leaves `patch.diff`, `result.json`, `report.html` and the journal in `out`.

    A run that was begun in `out` before goes on where it stopped. What fails (no engine, no model, no disk) is a
    result with status `failed`; cancellation leaves a partial result with status `interrupted`, and goes on.
    `model` and `backend` stand in for those that the settings name; they stay open, for others use them as well. So do
    `entrance` (a place in it is held once the environment is ready) and `within` (a budget around the task's own).
    With `given`, candidates that others made are chosen among: only test scripts are written.
    Raises RunConflict (other settings, or another process, in `out`), ModelSpecError, JournalError.
    """
    settings = settings or Settings()
    if model is None and settings.model is not None:
        parse_spec(settings.model)  # a wrong one is known before anything is written
    with Journal(Path(out)) as journal:
        begun = journal.identify(identity(task, settings, given))
        run = Run(task, settings, journal, watcher or Silence(), within, given)
        calls, executions = journal.counts()
        if begun and calls + executions:
            run.watcher.said("run", f"goes on: {calls} model calls and {executions} executions are there already")
        try:
            reached = await _way(run, model, backend, entrance)
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True), anyio.move_on_after(PARTIAL_SECONDS):
                run.close(Reached(Status.INTERRUPTED, proposed=await _finished_candidates(run)))
            raise
        return run.close(reached)


async def _way(
    run: Run, model: Model | None, backend: Backend | None, entrance: anyio.CapacityLimiter | None
) -> Reached:
    """All stages, and what came of them. What this package and those below raise on purpose becomes a status."""
    try:
        async with _opened(run, model, backend) as (its_model, sandbox), run.admitted(entrance):
            await _importable(run, sandbox)
            with run.stage("context"):
                run.context = await _context(run, its_model, sandbox)
            with run.stage("candidates"):
                asked = partial(enough, run, run.context, sandbox)
                proposed = await _candidates(run, run.context, its_model, sandbox, run.recorder, asked)
            with run.stage("selection"):
                selection = await _selection(run, run.context, proposed, its_model, sandbox)
    except BudgetSpent:
        return Reached(Status.BUDGET_SPENT)
    except (UsageError, JournalError):
        raise
    except (HarnessError, AgentError, SandboxError) as error:
        return Reached(Status.FAILED, error=error_record(error))
    except Exception as error:
        message = f"{error}\nthis is a defect in bestpatch: please report it, with the log below"
        trace = "".join(traceback.format_exception(error))
        return Reached(Status.FAILED, error=ErrorRecord(kind=type(error).__name__, message=message, log=trace))
    spent = run.budget.spent is not None
    status = status_of(selection, budget_spent=spent, min_confidence=run.settings.selection.min_confidence)
    return Reached(status, proposed, selection)


async def _importable(run: Run, sandbox: Sandbox) -> None:
    tree = await sandbox.tree()
    limits = limits_of(run.settings.limits)
    found = await try_import(sandbox, tree, limits)
    run.warnings = found.warnings
    run.limits = limits if run.settings.limits.seconds else found.deadline(limits)
    for warning in run.warnings:
        run.watcher.said("environment", f"warning: {warning}")


async def _context(run: Run, model: Model, sandbox: Sandbox) -> Context:
    """Gathered once for a run. A second time the cache of the survey knows more, and more or others would be shown."""
    tree = await sandbox.tree()
    known = cast("Mapping[str, Any] | None", run.journal.get("context"))
    if known is not None:
        return Context(known["text"], tuple(map(RepoPath, known["paths"])), tree, known["note"])
    cache = run.settings.paths.cache / "survey"
    context = await gather(run.task, tree, model, cache=cache, seed=run.settings.seed, recorder=run.recorder)
    run.journal.put("context", {"text": context.text, "paths": context.paths, "note": context.note})
    return context


async def _candidates(
    run: Run, context: Context, model: Model, sandbox: Sandbox, recorder: Recorder, asked: Enough = never
) -> Proposed:
    settings = ProposeSettings(
        candidates=run.settings.candidates,
        steps=steps_of(run.settings),
        test_turns=run.settings.test_turns,
        edit_turns=run.settings.edit_turns,
        seed=run.settings.seed,
        limits=run.limits,
        parallel=run.settings.sandbox.parallel,
    )
    if run.given is None:
        return await propose(run.task, context, sandbox, model, settings, recorder, asked)
    run.taken = await take(run.given, sandbox, context.tree, parallel=settings.parallel)
    candidates = tuple(taken.candidate for taken in run.taken if taken.candidate is not None)
    wanted = bool(candidates)
    scripts = await propose_scripts(run.task, context, sandbox, model, settings, recorder) if wanted else ()
    return Proposed(candidates, scripts)


async def _selection(run: Run, context: Context, proposed: Proposed, model: Model, sandbox: Sandbox) -> Selection:
    settings = SelectionSettings(
        shortlist=run.settings.selection.shortlist,
        comparison_turns=run.settings.selection.comparison_turns,
        seed=run.settings.seed,
        limits=run.limits,
        regression_seconds=run.settings.selection.regression_seconds,
        probes=run.settings.selection.probes,
        parallel=run.settings.sandbox.parallel,
    )
    candidates, scripts = proposed.candidates, proposed.scripts
    return await choose(run.task, context, candidates, scripts, sandbox, model, settings, run.recorder)


async def _finished_candidates(run: Run) -> Proposed | None:
    """What an interrupted run had made: the proposal once more, answered from the journal alone."""
    if run.context is None or run.sandbox is None or run.profile is None:
        return None
    stopped = "the run was interrupted"
    model = JournaledModel(SpentModel(run.profile, stopped), run.journal)
    sandbox = JournaledSandbox(ClosedSandbox(run.sandbox, run.context.tree, stopped), run.journal)
    try:
        return await _candidates(run, run.context, model, sandbox, Silence())
    except (AgentError, SandboxError):
        return None


@asynccontextmanager
async def _opened(run: Run, model: Model | None, backend: Backend | None) -> AsyncGenerator[tuple[Model, Sandbox]]:
    """The model and the sandbox, made ready side by side; gone at the end, whatever happened, except what was given."""
    given = backend is not None
    backend = backend or await to_thread.run_sync(_backend, run)
    # An endpoint answers within seconds whether it is there: no image is built for one that is not.
    quick = model is not None or _answers_at_once(run.settings.model)
    opening = Opening()
    try:
        with unwrapped():
            async with anyio.create_task_group() as group, AsyncExitStack() as stack:
                group.start_soon(_open_sandbox, run, backend, opening, quick, group.cancel_scope)
                with run.stage("model"):
                    opened = model or await stack.enter_async_context(_model(run))
                opening.model.set()
                await opening.sandbox.wait()
                if run.sandbox is not None:
                    yield run.model(opened), JournaledSandbox(run.sandbox, run.journal)
    finally:
        try:
            if run.sandbox is not None:
                await run.sandbox.close()
            if not given:
                await backend.close()
        except SandboxError as error:
            run.watcher.said("environment", f"note: the next run removes what is left of the sandboxes ({error})")
    if opening.failed is not None:
        raise opening.failed


async def _open_sandbox(run: Run, backend: Backend, opening: Opening, wait: bool, scope: anyio.CancelScope) -> None:
    if wait:
        await opening.model.wait()
    try:
        with run.stage("environment"):
            run.sandbox = await backend.open(run.task.environment, run.task.snapshot, run_id=run.id)
    except Exception as error:
        opening.failed = error
        scope.cancel()  # the model need not come up for a task that has no environment
    opening.sandbox.set()


def _answers_at_once(spec: str | None) -> bool:
    return spec is not None and isinstance(parse_spec(spec), OpenAI | Scripted)


def _model(run: Run) -> AbstractAsyncContextManager[Model]:
    overrides = profile_changes(run.settings)
    return open_model(
        run.settings.model,
        cache=run.settings.paths.cache,
        log_dir=run.journal.folder,
        say=lambda text: run.watcher.said("model", text),
        overrides=overrides,
        serving=serving_of(run.settings),
        metered=run.gpu.metered,
    )


def _backend(run: Run) -> Backend:
    from sandbox.backends import choose_backend  # not needed where a backend is given

    docker, bubblewrap = backend_settings(run.settings)
    chosen = run.settings.sandbox.backend
    return choose_backend(chosen, docker, bubblewrap, say=lambda text: run.watcher.said("environment", text))
