"""The jobs that one process of a batch has in hand: each becomes a task, a run of its own, and an outcome.

Nothing is shared but the model server, the sandboxes' backend and the limits.
"""

from __future__ import annotations

import shutil
import traceback
from collections.abc import Callable
from contextlib import suppress

import anyio
from anyio import to_thread

from agent.errors import AgentError
from harness.batch_record import TaskOutcome
from harness.budget import Budget
from harness.errors import DirectoryFull, HarnessError, JournalError
from harness.gate import GatedBackend, GatedModel
from harness.job import RUNS_BUDGET, Job, Terms
from harness.outcome import error_record, write_whole
from harness.progress import Watcher
from harness.result import ErrorRecord, Status
from harness.solve import solve
from sandbox.errors import SandboxError


class AtWork:
    """Implements `harness.job.Solver` in this process."""

    def __init__(
        self,
        terms: Terms,
        model: GatedModel,
        backend: GatedBackend,
        *,
        workers: int,
        ahead: int,
        budget: Budget,
        stop: Callable[[Exception], None],
    ) -> None:
        """`workers`: tasks at work at once, past their environments; `ahead`: those that are made ready meanwhile.
        `budget` is the run's. `stop` hears of what nothing can go on with.
        """
        self._terms = terms
        self._model = model
        self._backend = backend
        self._budget = budget
        self._stop = stop
        self._entrance = anyio.CapacityLimiter(workers)
        self._disk = anyio.CapacityLimiter(ahead)
        self.room = workers + ahead

    async def solved(self, job: Job, watcher: Watcher) -> TaskOutcome | None:
        """See `harness.job.Solver`. None: a budget has ended it before it had anything, or the run is stopped."""
        folder = self._terms.folder(job)
        snapshots = folder / "snapshot"
        try:
            snapshots.mkdir(parents=True, exist_ok=True)
            task = await to_thread.run_sync(job.make, snapshots, limiter=self._disk)
            result = await solve(
                task,
                job.settings or self._terms.settings,
                out=folder,
                watcher=watcher,
                model=self._model,
                backend=self._backend,
                entrance=self._entrance,
                within=self._budget,
                given=job.given,
            )
        except DirectoryFull as error:
            self._stop(error)
            return None
        except (HarnessError, AgentError, SandboxError, OSError) as error:
            return self._terms.failed(job, error_record(error))
        except Exception as error:
            message = f"{error}\nthis is a defect in bestpatch: please report it, with the log in the task's folder"
            trace = "".join(traceback.format_exception(error))
            with suppress(JournalError):
                write_whole(folder / "defect.log", trace.encode("utf-8", "replace"))
            return self._terms.failed(job, ErrorRecord(kind=type(error).__name__, message=message))
        finally:
            shutil.rmtree(snapshots, ignore_errors=True)
        outcome = TaskOutcome.of(job.id, job.digest, result, self._terms.limits)
        if outcome.status is Status.BUDGET_SPENT and str(outcome.budget_spent).startswith(RUNS_BUDGET):
            return None  # it has nothing yet, and goes on when there is more
        return outcome
