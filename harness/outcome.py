"""Turns what the stages returned into the records of `result.json`, and writes a run's files."""

from __future__ import annotations

import hashlib
import platform
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from agent.errors import ModelDenied, ModelError
from agent.given import Given, Taken
from agent.propose import Proposed
from agent.task import Task
from agent.trajectory import ScriptId
from harness.config import Settings
from harness.environments import describe
from harness.errors import FULL, DirectoryFull, JournalError
from harness.release import release
from harness.result import (
    CandidateRecord,
    CellRecord,
    ComparisonPassRecord,
    ComparisonRecord,
    ComparisonRoundRecord,
    ErrorRecord,
    ExecutionRecord,
    GivenRecord,
    Manifest,
    ProbeRecord,
    RegressionRecord,
    Result,
    ScriptRecord,
    Status,
    TaskRecord,
    TurnRecord,
)
from sandbox.base import Execution, Sandbox, digest_of
from sandbox.errors import DiskFull, EngineUnavailable, EnvironmentUnavailable
from sandbox.patch import check_patch
from selection.base import Comparison, PatchClass, Regressions, Selection
from selection.repository_tests import is_test_file
from selection.steering import steering

LOG_CAP = 20_000
"""Characters of a build's log that a result keeps: its end."""


@dataclass(frozen=True)
class Reached:
    """How far a run came. `selection` without a winner and None both mean that no patch was chosen."""

    status: Status
    proposed: Proposed | None = None
    selection: Selection | None = None
    error: ErrorRecord | None = None


def status_of(selection: Selection, *, budget_spent: bool, min_confidence: float) -> Status:
    """The status of a run that came to its end."""
    if selection.winner is None:
        return Status.BUDGET_SPENT if budget_spent else Status.NO_CANDIDATE
    return Status.ABSTAINED if selection.confidence < min_confidence else Status.SELECTED


def task_record(task: Task) -> TaskRecord:
    return TaskRecord(id=task.id, repository=task.repository, base_commit=task.base_commit, issue=task.issue)


def candidate_records(proposed: Proposed | None, selection: Selection | None) -> tuple[CandidateRecord, ...]:
    """All candidates: ranked ones best first, then the others in the order of their trajectories."""
    classes: dict[str, PatchClass] = {}
    ranks: dict[str, int] = {}
    if selection:
        classes = {member.id: each for each in selection.matrix.classes for member in each.members}
        ranks = {class_id: place for place, class_id in enumerate(selection.ranking, 1)}
    records: list[CandidateRecord] = []
    for candidate in proposed.candidates if proposed else ():
        its_class = classes.get(candidate.id)
        in_class = selection is not None and its_class is not None
        records.append(
            CandidateRecord(
                id=candidate.id,
                trajectory=candidate.trajectory,
                script=candidate.script.id if candidate.script else None,
                patch=candidate.patch,
                class_id=its_class.id if its_class else None,
                passes_own_script=candidate.passes_own_script,
                votes=selection.votes.get(its_class.id, 0.0) if selection and its_class else 0.0,
                broken_tests=selection.regressions.broken.get(its_class.id, ()) if selection and its_class else (),
                consensus=selection.consensus.get(its_class.id) if selection and its_class else None,
                rank=ranks.get(its_class.id) if in_class and its_class else None,
            )
        )
    return tuple(sorted(records, key=lambda record: (record.rank is None, record.rank or 0)))


def given_records(taken: Sequence[Taken]) -> tuple[GivenRecord, ...]:
    records: list[GivenRecord] = []
    for each in taken:
        notes = list(each.notes)
        paths = check_patch(each.candidate.patch) if each.candidate else ()
        if tests := [path for path in paths if is_test_file(path) or path in steering(paths)]:
            notes.append(f"changes {', '.join(tests[:5])}: the repository's tests run with the base commit's")
        records.append(GivenRecord(id=each.id, source=each.source, refused=each.candidate is None, notes=tuple(notes)))
    return tuple(records)


def script_records(proposed: Proposed | None, selection: Selection | None) -> tuple[ScriptRecord, ...]:
    weights: Mapping[ScriptId, float] = selection.weights if selection else {}
    return tuple(
        ScriptRecord(
            id=script.id,
            trajectory=script.trajectory,
            source=script.source,
            valid=script.valid,
            weight=weights.get(script.id, 0.0),
        )
        for script in (proposed.scripts if proposed else ())
    )


def cell_records(selection: Selection | None) -> tuple[CellRecord, ...]:
    return tuple(
        CellRecord(script=script, column=column, verdict=run.verdict.value, execution=execution_record(run.execution))
        for (script, column), run in (selection.matrix.cells.items() if selection else ())
    )


def execution_record(execution: Execution) -> ExecutionRecord:
    return ExecutionRecord(
        ended=execution.ended.value,
        exit_code=execution.exit_code,
        output=execution.output,
        seconds=execution.seconds,
    )


def regression_record(found: Regressions) -> RegressionRecord:
    return RegressionRecord(
        command=found.command,
        passing=len(found.passing),
        flaky=found.flaky,
        broken={str(column): tests for column, tests in found.broken.items()},
        note=found.note,
    )


def probe_records(selection: Selection | None) -> tuple[ProbeRecord, ...]:
    return tuple(ProbeRecord.model_validate(asdict(one)) for one in (selection.probes if selection else ()))


def comparison_record(comparison: Comparison) -> ComparisonRecord:
    return ComparisonRecord(
        passes=tuple(
            ComparisonPassRecord(
                order=each.order,
                rounds=tuple(
                    ComparisonRoundRecord(
                        source=turn.source,
                        runs={str(column): execution_record(run.execution) for column, run in turn.runs.items()},
                    )
                    for turn in each.rounds
                ),
                choice=each.choice,
                reason=each.reason,
            )
            for each in comparison.passes
        ),
        choice=comparison.choice,
    )


def error_record(error: Exception) -> ErrorRecord:
    """What failed, and what to do about it."""
    message = str(error).strip() or type(error).__name__
    match error:
        case EngineUnavailable():
            message += "\nrun `bestpatch doctor --mend`, or start Docker and check DOCKER_HOST"
        case EnvironmentUnavailable():
            message += "\nsay how the project is installed: --install, --apt, --python, --dockerfile or --image"
        case DiskFull():
            message += "\nfree some disk (`bestpatch prune`, `docker system prune`), or lower sandbox.free_disk_bytes"
        case ModelDenied():
            message += "\nput the server's key into BESTPATCH_API_KEY"
        case ModelError():
            pass  # its messages say what to do
        case _:
            pass
    log = error.log if isinstance(error, EnvironmentUnavailable) else ""
    return ErrorRecord(kind=type(error).__name__, message=message, log=log[-LOG_CAP:])


def manifest(task: Task, settings: Settings, *, started: str, profile: str, sandbox: Sandbox | None) -> Manifest:
    return Manifest(
        bestpatch=release(),
        python=platform.python_version(),
        platform=platform.platform(),
        started=started,
        seed=settings.seed,
        model=redacted(settings.model or "default"),
        profile=profile,
        image_digest=sandbox.digest if sandbox else "",
        base_image=sandbox.base_image if sandbox else "",
        prompts_digest=prompts_digest(),
        settings=shown_settings(settings),
    )


def identity(task: Task, settings: Settings, given: Sequence[Given] | None = None) -> dict[str, object]:
    """What decides a run's outcome. A run directory belongs to one identity; what is not here may change on resuming
    (the budget, the machine's share, the confidence that is asked for)."""
    others = {} if given is None else {"candidates given": digest_of(*(p for g in given for p in (g.source, g.patch)))}
    return {
        **identity_of_settings(settings),
        **others,
        "issue": hashlib.sha256(task.issue.encode()).hexdigest()[:16],
        "repository": task.repository,
        "base commit": task.base_commit,
        # A digest besides: variables of an environment may hold what must not lie in a run's directory.
        "environment": f"{'; '.join(describe(task.environment))} ({digest_of(repr(task.environment))[:12]})",
        "test_command": task.test_command,
    }


def identity_of_settings(settings: Settings) -> dict[str, object]:
    """The part of an identity that all tasks of a batch share."""
    deciding = ("candidates", "test_turns", "edit_turns", "seed", "limits", "profile")
    kept = settings.model_dump(mode="json", include=set(deciding))
    chosen = settings.selection.model_dump(mode="json", exclude={"min_confidence"})
    return {
        **{f"{name}.{key}": value for name in ("limits", "profile") for key, value in kept[name].items()},
        **{name: kept[name] for name in ("candidates", "test_turns", "edit_turns", "seed")},
        **{f"selection.{key}": value for key, value in chosen.items()},
        "model": redacted(settings.model or "default"),
        "bestpatch": release(),
        "prompts": prompts_digest()[:16],
    }


@cache
def prompts_digest() -> str:
    """SHA-256 over the source of the prompt modules."""
    total = hashlib.sha256()
    for package in ("agent.prompts", "selection.prompts"):
        for file in sorted(files(package).iterdir(), key=lambda each: each.name):
            if file.name.endswith(".py"):
                total.update(f"{package}/{file.name}\0".encode() + file.read_bytes())
    return total.hexdigest()


def shown_settings(settings: Settings) -> dict[str, object]:
    """The settings for a manifest, without what may be secret or is this machine's."""
    shown = settings.model_dump(mode="json", exclude={"paths"})
    shown["model"] = redacted(settings.model) if settings.model else None
    shown["environment"]["env"] = {}
    return shown


def redacted(text: str) -> str:
    """A model spec or address without logins and query strings."""
    return re.sub(r"\?\S*", "", re.sub(r"//[^/\s@]*@", "//***@", text))


def write_files(out: Path, result: Result, turns: Sequence[TurnRecord]) -> None:
    """Write `patch.diff`, `result.json` and `report.html`, each whole or not at all."""
    from harness.report import render  # templates and their engine are not needed before

    _write(out / "result.json", result.model_dump_json(indent=1) + "\n")
    _write(out / "report.html", render(result, turns))
    if result.patch:
        _write(out / "patch.diff", result.patch)
    else:
        (out / "patch.diff").unlink(missing_ok=True)


def _write(path: Path, text: str) -> None:
    # Byte for byte: a patch of a file with Windows line ends must keep them.
    write_whole(path, text.encode("utf-8", "surrogateescape" if path.suffix == ".diff" else "replace"))


def write_whole(path: Path, data: bytes) -> None:
    """Write a file of a run's directory so that it is there whole or not at all. Raises JournalError, DirectoryFull."""
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        message = f"{path}: cannot be written: {error.strerror}; free some disk, then run the same command"
        raise (DirectoryFull if error.errno in FULL else JournalError)(message) from error
