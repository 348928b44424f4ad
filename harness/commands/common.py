"""What all commands share: how errors end, where words go, how a signal stops a run."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import TypeVar

import anyio

from harness.commands.exit import FAILED, INTERRUPTED, WRONG_USE, Exit
from harness.errors import HarnessError, UsageError
from harness.result import Status

T = TypeVar("T")

EXIT = {
    Status.SELECTED: 0,
    Status.NO_CANDIDATE: 3,
    Status.ABSTAINED: 3,
    Status.FAILED: 4,
    Status.BUDGET_SPENT: 5,
    Status.INTERRUPTED: 130,
}
"""Exit codes by status; 2 is wrong use."""

GIT_VARIABLES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX", "GIT_NAMESPACE")
"""Set where git calls us (a hook, an alias); they would lead our git calls to another repository than the one named."""


def say(text: str) -> None:
    """A line for people, on stderr: stdout is for what a command gives."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def give(text: str) -> None:
    """A line of what the command gives, on stdout."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


@contextmanager
def ending(*, debug: bool) -> Generator[None]:
    """Turns what was raised into a message and an exit code; a traceback only when asked for. Raises Exit."""
    from agent.errors import AgentError, ModelSpecError
    from sandbox.errors import SandboxError

    for variable in GIT_VARIABLES:
        os.environ.pop(variable, None)
    configure_logs(debug)
    try:
        yield
    except Exit:
        raise
    except (UsageError, ModelSpecError) as error:
        raise _told(error, WRONG_USE, debug) from None
    except (HarnessError, AgentError, SandboxError, OSError) as error:
        raise _told(error, FAILED, debug) from None
    except KeyboardInterrupt:
        raise Exit(INTERRUPTED) from None
    except Exception as error:
        raise _told(error, FAILED, debug, f"{type(error).__name__}: ", "; this is a defect: please report it") from None


def _told(error: Exception, code: int, debug: bool, before: str = "", after: str = "") -> Exit:
    if debug:
        import traceback

        say("".join(traceback.format_exception(error)).rstrip())
    say(f"error: {before}{error}{after}" + ("" if debug or not before else " (--debug shows where)"))
    return Exit(code)


def configure_logs(debug: bool) -> None:
    """Structured lines on stderr; warnings only, unless asked for more. Tracebacks never show variables."""
    import logging

    import structlog

    # First, for libraries that would do it when they are imported, and make a line of every HTTP request.
    logging.basicConfig(level=logging.DEBUG if debug else logging.WARNING, format="%(name)s: %(message)s")
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG if debug else logging.WARNING),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),  # what stderr is when a line is written
    )


def run_until_signal(
    action: Callable[[], Awaitable[T]], *, ending: str = "stopping: writing down what there is (once more: at once)"
) -> T | None:
    """Run to the end, or to the first SIGINT, SIGTERM or SIGHUP: then the action is cancelled and cleans up; None.
    `ending` is said then.

    A second signal ends the process at once; what it leaves behind is removed by the next run.
    """
    return anyio.run(_until_signal, action, ending)


async def _until_signal(action: Callable[[], Awaitable[T]], ending: str) -> T | None:
    from harness.run import unwrapped

    value: T | None = None
    scope = anyio.CancelScope()

    async def watch() -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
            watching.set()
            async for _ in signals:
                if scope.cancel_called:
                    os._exit(INTERRUPTED)
                say(ending)
                scope.cancel()

    watching = anyio.Event()
    with unwrapped():
        async with anyio.create_task_group() as group:
            group.start_soon(watch)
            await watching.wait()
            with scope:
                value = await action()
            group.cancel_scope.cancel()
    return value
