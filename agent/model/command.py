"""Runs the programs that prepare a model (pip, cmake): to their end, into a log, gone when we are cancelled."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT

import anyio
from anyio.streams.text import TextReceiveStream

from agent.errors import ModelUnavailable
from agent.model.process import child_env


class CommandFailed(ModelUnavailable):
    """A program that prepares the model ended with an error; `tail` is the end of its output."""

    def __init__(self, message: str, tail: str) -> None:
        super().__init__(message)
        self.tail = tail


async def run_command(
    argv: Sequence[str],
    *,
    log: Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    line: Callable[[str], None] = lambda _: None,
) -> None:
    """Run it; each line of its output goes to the log and to `line`. Raises CommandFailed with the output's tail."""
    tail = ""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as out:
        out.write(f"\n$ {' '.join(argv)}\n")
        process = await anyio.open_process(
            list(argv),
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
            cwd=cwd,
            env=child_env(env or {}),
            start_new_session=True,
        )
        try:
            rest = ""
            if process.stdout is not None:
                async for text in TextReceiveStream(process.stdout, errors="replace"):
                    out.write(text)
                    tail = (tail + text)[-3_000:]
                    *lines, rest = (rest + text).split("\n")
                    for each in lines:
                        line(each)
            code = await process.wait()
        except BaseException:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                with anyio.CancelScope(shield=True):
                    await process.wait()
            raise
        finally:
            with anyio.CancelScope(shield=True):
                await process.aclose()
    if code != 0:
        raise CommandFailed(f"{Path(argv[0]).name} failed ({code}); its output {log} ends:\n{tail[-1_500:]}", tail)


async def pip_command(log: Path) -> list[str]:
    """A pip that runs here. Raises ModelUnavailable with how to get one (environments made by uv have none)."""
    for start in ([sys.executable, "-m", "pip"], [shutil.which("pip3") or ""], [shutil.which("pip") or ""]):
        if not start[0]:
            continue
        try:
            await run_command([*start, "--version"], log=log)
        except CommandFailed:
            continue
        return [*start, "--disable-pip-version-check", "--no-input"]
    raise ModelUnavailable(f"fetching needs pip, and there is none: run `{sys.executable} -m ensurepip`, then again")
