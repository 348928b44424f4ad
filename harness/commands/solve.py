"""`bestpatch solve`: one issue in a local repository."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from agent.task import Task
from harness.commands.common import EXIT, give, run_until_signal, say
from harness.commands.exit import Exit
from harness.config import Settings
from harness.deliver import commit_message
from harness.environments import find_environment
from harness.errors import IssueError
from harness.load import load
from harness.outcome import identity
from harness.progress_state import duration
from harness.repository import Repository
from harness.result import Result, Status
from harness.saving import not_made, why
from harness.tasks import ISSUE_CAP, checked_issue, local_task
from sandbox.base import Patch

RUNS = Path("bestpatch-runs")


@dataclass(frozen=True)
class Asked:
    """What the command line said besides settings."""

    repository: Path
    issue: str
    base: str | None
    out: Path | None
    apply: str | None
    config: Path | None
    json: bool
    quiet: bool
    debug: bool


def solve_command(asked: Asked, flags: dict[str, object]) -> None:
    """Raises Exit with the code of the run's status, and what `ending` turns into one."""
    issue = checked_issue(read_issue(asked.issue))
    with Repository.open(asked.repository) as repo:
        commit = repo.base(asked.base)
        if asked.apply is not None:
            repo.require_free_branch(asked.apply)  # known before hours of work rather than after
        root = None if asked.config else repo.root
        settings = load(repository=root, config=asked.config, flags=flags)
        if settings.model is not None:
            from agent.model.spec import parse_spec

            parse_spec(settings.model)
        found = find_environment(repo.tree(commit), settings.environment)
        if not asked.quiet:
            say(f"base commit {commit[:12]}; environment: {'; '.join(found.reasons)}")
            if repo.is_dirty():
                say("note: the repository has uncommitted changes; they are not seen, the work starts from the commit")
    task = local_task(asked.repository, issue, settings, base=commit)
    out = asked.out or default_out(task, settings)
    result = _run(task, settings, out, asked)
    branch = _apply(asked, result) if asked.apply is not None else None
    if asked.json:
        give(result.model_dump_json(indent=1))
    elif not asked.quiet or result.status is not Status.SELECTED:
        give(summary(result, out, branch))
    if asked.debug and result.error and result.error.log:
        say(result.error.log)
    raise Exit(EXIT[result.status])


def read_issue(given: str) -> str:
    """The issue's text: of a file that exists, an issue's address, standard input for `-`, else what was given.

    Raises IssueError, RemoteError.
    """
    if given == "-":
        return sys.stdin.buffer.read(ISSUE_CAP + 1).decode("utf-8", "replace")
    if re.match(r"https?://\S+$", given.strip()):
        return read_remote(given)
    if not given.strip():
        return given
    try:
        path = Path(given)
        if path.is_file():
            if path.stat().st_size > ISSUE_CAP:
                return checked_issue("x" * path.stat().st_size)  # the same message as for text, without reading it
            return path.read_text("utf-8", "replace")
        if path.is_dir():
            raise IssueError(f"{given} is a folder; name the file that holds the issue")
    except (OSError, ValueError) as error:
        if isinstance(error, IssueError):
            raise
        return given  # too long for a file's name, or not one: it is the text
    if not re.search(r"\s", given.strip()) and re.search(r"[/\\]|\.\w{1,5}$", given.strip()):
        raise IssueError(f"{given}: no such file; name the issue's file, give its text, or - for standard input")
    return given


def read_remote(url: str) -> str:
    from harness.github import GitHub, IssueAddress

    address = IssueAddress.parse(url)
    with GitHub() as github:
        return github.issue(address)


def default_out(task: Task, settings: Settings) -> Path:
    """The run's directory: the same for the same task and settings, so that the same command goes on where it was."""
    name = hashlib.sha256(json.dumps(identity(task, settings), sort_keys=True).encode()).hexdigest()[:6]
    RUNS.mkdir(exist_ok=True)
    ignore = RUNS / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n")  # runs are no part of the repository that they may lie in
    return RUNS / f"{task.id}-{name}"


def _run(task: Task, settings: Settings, out: Path, asked: Asked) -> Result:
    from harness.live import watcher_for
    from harness.solve import solve

    watcher = watcher_for(task, sys.stderr, quiet=asked.quiet, plain=asked.debug)
    result = run_until_signal(partial(solve, task, settings, out=out, watcher=watcher))
    if result is None:
        path = out / "result.json"
        if not path.is_file():
            raise Exit(EXIT[Status.INTERRUPTED])
        result = Result.model_validate_json(path.read_bytes())
    return result


def _apply(asked: Asked, result: Result) -> str | None:
    if result.status is not Status.SELECTED or asked.apply is None:
        return None
    with Repository.open(asked.repository) as repo:
        base, message = result.task.base_commit, commit_message(result)
        repo.apply_branch(Patch(result.patch), asked.apply, base=base, message=message)
    return asked.apply


def summary(result: Result, out: Path, branch: str | None) -> str:
    """What came out, in plain lines, and what to do with it."""
    lines = [_headline(result)]
    lines += [f"  - {_clean(reason)}" for reason in result.reasons]
    lines += [f"warning: {_clean(warning)}" for warning in result.warnings]
    if result.error is not None:
        lines.append(_clean(result.error.message))
        if result.error.log and result.error.kind == "EnvironmentUnavailable":
            lines += ["the end of the log:", *(f"  | {_clean(line)}" for line in result.error.log.splitlines()[-15:])]
    if result.stopped is not None:
        lines += [why(result.stopped), not_made(result.stopped)]
    total = result.usage["total"]
    money = f", ${total.money:.2f}" if total.money else ""
    lines.append(
        f"{len(result.candidates)} candidates; {total.prompt_tokens + total.completion_tokens:,} tokens{money}; "
        f"{duration(result.wall_seconds)}"
    )
    if result.patch:
        lines.append(f"patch   {out / 'patch.diff'}" + ("" if branch else f"   (git apply {out / 'patch.diff'})"))
    if branch:
        lines.append(f"branch  {branch}   (git switch {branch})")
    lines.append(f"report  {out / 'report.html'}")
    if result.status in (Status.INTERRUPTED, Status.BUDGET_SPENT, Status.FAILED):
        lines.append(f"to go on where it stopped, run the same command with --out {out}")
    return "\n".join(lines)


def _headline(result: Result) -> str:
    match result.status:
        case Status.SELECTED:
            return f"selected {result.winner} with a confidence of {result.confidence or 0:.2f}"
        case Status.ABSTAINED:
            return f"abstained: the best candidate's confidence is {result.confidence or 0:.2f}, below --min-confidence"
        case Status.NO_CANDIDATE:
            return "no candidate: every trajectory ended without a patch that applies; see the report for why"
        case Status.BUDGET_SPENT:
            return "the budget was spent before there was a candidate; raise --budget to go on"
        case Status.INTERRUPTED:
            return "interrupted; what was finished is kept"
        case Status.FAILED:
            return f"failed: {result.error.kind if result.error else 'unknown'}"


def _clean(text: str) -> str:
    """Without control characters: parts of it were written by strangers."""
    return "".join(char if char.isprintable() or char in "\n\t" else "�" for char in text)
