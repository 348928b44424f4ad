"""The test-writing trajectory: turns until code has seen its script fail on the unedited tree."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence

from agent.errors import ContextTooLong
from agent.exchange import Exchange, Ground
from agent.model.base import Completion, Stage
from agent.prompts import test_writing as prompts
from agent.snippet import ScriptProblem, guarded, read_script
from agent.trajectory import Outcome, ScriptId, TestScript
from sandbox.base import UNEDITED
from sandbox.script import ScriptRun, Verdict

__test__ = False  # pytest: the module's name looks like one of tests

# A script that passes on the unedited tree still guards what works; a broken one says nothing.
_WORTH = {Verdict.FAILED: 3, Verdict.PASSED: 2, Verdict.TIMED_OUT: 1, Verdict.BROKEN: 0}


async def write_script(
    ground: Ground, trajectory: str, turns: int, given: Callable[[], Awaitable[Completion]] | None = None
) -> TestScript | None:
    """The trajectory's test script: valid if any turn's was, else the most useful one seen; None without any.

    A model that mends is told what its script did; one that does not is asked anew (`Ground.draws_anew`). `given`
    yields the first turn's completion when it is drawn together with other trajectories'.
    Raises the leaves of ModelError (except ContextTooLong, which ends the trajectory) and of SandboxError.
    """
    profile = ground.model.profile
    exchange = Exchange(ground, Stage.TEST_WRITING, trajectory)
    prompt = ground.script_prompt
    best: TestScript | None = None
    for turn in range(turns):
        try:
            first = await given() if given is not None and turn == 0 else None
            asked = ground.script_prompt if ground.draws_anew else prompt
            answer = await exchange.ask(asked, first, alone=ground.draws_anew)
        except ContextTooLong as error:
            ground.recorder.note("trajectory_ended", {"trajectory": trajectory, "why": str(error)[:300]})
            return best
        read = read_script(answer.text, ground.symbols, asserts=profile.script_style == "asserts")
        name = ScriptId(f"script-{trajectory}-{turn}")
        if isinstance(read, ScriptProblem):
            if read.unchecked:
                source, run = await on_unedited(ground, read.unchecked)
                if source != read.unchecked:  # the exception that the issue complains of: that is what it checks now
                    exchange.close(Outcome.SCRIPT_VALID)
                    return TestScript(name, source, True, trajectory, run)
            prompt = prompts.unreadable(profile, read.message)
            exchange.close(Outcome.UNREADABLE, prompt)
            continue
        source, run = await on_unedited(ground, read.source)
        valid = is_valid(run, ground)
        script = TestScript(name, source, valid, trajectory, run)
        if best is None or _WORTH[run.verdict] > _WORTH[best.on_unedited.verdict]:
            best = script
        if script.valid:
            exchange.close(Outcome.SCRIPT_VALID)
            return script
        prompt = prompts.after_run(profile, run)
        exchange.close(Outcome.SCRIPT_INVALID, prompt)
    return best


def is_valid(run: ScriptRun, ground: Ground) -> bool:
    """Valid: code has seen the script fail on the unedited tree, or not come back from the repository's code.

    The bug itself may be an endless loop: then no script can fail in another way.
    """
    if run.verdict is Verdict.TIMED_OUT:
        return _inside(_FRAME.findall(run.execution.output), ground)
    return run.verdict is Verdict.FAILED


async def on_unedited(ground: Ground, source: str, *, any_exception: bool = False) -> tuple[str, ScriptRun]:
    """Run a script on the unedited tree; the script as it is to be kept, and what it did.

    Where it broke with an exception that the issue complains of (or with `any_exception`), raised by the repository's
    code, the script is right and only lacks the plumbing: the exception then counts as a failed assertion.
    """
    run = await ground.execute(source, UNEDITED)
    named = None if any_exception else ground.task.issue
    if run.verdict is Verdict.BROKEN and (name := _complained(run, ground, named)) is not None:
        mended = guarded(source, name)
        again = await ground.execute(mended, UNEDITED)
        if again.verdict is Verdict.FAILED:
            return mended, again
    return source, run


_RAISED = re.compile(r"^(?:[\w.]+\.)?([A-Z]\w*(?:Error|Exception|Warning|Exit|Interrupt|Iteration))\b", re.MULTILINE)
_FRAME = re.compile(r'^  File "([^"]+)", line', re.MULTILINE)


def _complained(run: ScriptRun, ground: Ground, issue: str | None) -> str | None:
    """The built-in exception that ended a script in the repository's code; with an issue only if that names it."""
    raised = _RAISED.findall(run.execution.output)
    frames = _FRAME.findall(run.execution.output)
    if not raised or not frames or (issue is not None and raised[-1] not in issue):
        return None
    known = getattr(__import__("builtins"), raised[-1], None)
    return raised[-1] if _inside(frames, ground) and isinstance(known, type) else None


def _inside(frames: Sequence[str], ground: Ground) -> bool:
    """Whether any of the files that a traceback names is one of the repository's."""
    return any(frame.endswith("/" + path) for frame in frames for path in ground.context.tree if path.endswith(".py"))
