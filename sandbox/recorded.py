"""Runs a repository's tests so that the host learns of each test's outcome, whatever the code under test prints.

`inside/record_witness.py` and `inside/record_runner.py` say how. What remains: outcomes are made in the process in
which the code under test runs, so code that takes the test framework itself apart can lie about them.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from sandbox import inside
from sandbox.base import Execution, Limits, Workspace

Kind = Literal["pytest", "unittest", "sympy", "shell"]
OUTPUT_BYTES = 64 * 1024**2
"""Log and record together; the record is at the end, which is kept."""

_NONCE = "/tmp/bestpatch-record"  # noqa: S108 - inside the sandbox; read and removed before the tests start
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_PLAIN = re.compile(r"[^;&|<>`$()\n]*")


@dataclass(frozen=True)
class TestProgram:
    """A command that runs tests, as the runner takes it."""

    __test__ = False  # pytest: not a test class

    kind: Kind
    argv: tuple[str, ...]
    env: Mapping[str, str]


@dataclass(frozen=True)
class Recorded:
    """A run of tests."""

    execution: Execution
    """Its output is the log, without the record."""
    outcomes: tuple[tuple[str, str], ...] | None
    """Status and name of each test in the order of their ends; None where the command can only be run as it is."""
    ended: bool
    """Whether the tests came to their own end, rather than that something ended their process."""
    exit_code: int | None
    """Of the tests; None where they were killed, or the record did not arrive."""


def program_of(command: str) -> TestProgram:
    """How a shell command is run: by the runner where it is a plain call of pytest, unittest or sympy's bin/test."""
    shell = TestProgram("shell", ("bash", "-c", command), {})
    if not _PLAIN.fullmatch(command):
        return shell
    try:
        words = shlex.split(command)
    except ValueError:
        return shell
    env: dict[str, str] = {}
    while words and (found := _ASSIGNMENT.fullmatch(words[0])):
        env[found[1]] = found[2]
        words.pop(0)
    match words:
        case ["pytest" | "py.test", *rest]:
            return TestProgram("pytest", ("pytest", *rest), env)
        case ["python" | "python3", "-m", "pytest", *rest]:
            return TestProgram("pytest", ("-m", *rest), env)
        case ["python" | "python3", "-m", "unittest", *rest]:
            return TestProgram("unittest", ("-m", "unittest", *rest), env)
        case ["bin/test" | "./bin/test", *rest]:
            # With a seed in the environment sympy stays in one process.
            return TestProgram("sympy", ("bin/test", *rest), {"PYTHONHASHSEED": "0", **env})
        case ["python" | "python3", script, *rest] if script.endswith(".py"):
            return TestProgram("unittest", (script, *rest), env)
        case [script, *rest] if script.endswith(".py"):
            return TestProgram("unittest", (script, *rest), env)
        case _:
            return shell


async def run_recorded(
    workspace: Workspace, python: str, program: TestProgram, limits: Limits, *, before: Sequence[str] = ()
) -> Recorded:
    """Run tests in a workspace. `before`: shell commands that prepare the run, such as starting a server.

    Raises SandboxLost, SandboxTimeout, WorkspaceError.
    """
    seal = secrets.token_hex(16)
    await workspace.write(_NONCE, seal.encode())
    witness, runner = (inside.source(f"record_{name}.py").decode() for name in ("witness", "runner"))
    argv = [python, "-I", "-S", "-c", witness, _NONCE, python, runner, program.kind, *program.argv]
    if before:
        argv = ["bash", "-c", "\n".join([*before, 'exec "$@"']), "bash", *argv]
    execution = await workspace.run(argv, env=program.env, limits=limits)
    log, record = _unsealed(execution.output, seal)
    return _recorded(replace(execution, output=log), record, program.kind)


def _recorded(execution: Execution, record: Mapping[str, Any] | None, kind: Kind) -> Recorded:
    if record is None:
        return Recorded(execution, None if kind == "shell" else (), False, None)
    told = [(str(status), str(name)) for status, name in record["told"]]
    outcomes = tuple(pair for pair in told if pair[0] != "end")
    ended = kind == "shell" or ("end", str(record["code"])) in told[-1:]
    return Recorded(execution, None if kind == "shell" else outcomes, ended, int(record["code"]))


def _unsealed(output: str, seal: str) -> tuple[str, Mapping[str, Any] | None]:
    """The log and the record. None where it is not there as a whole."""
    log: list[str] = []
    parts: dict[int, str] = {}
    total = 0
    for line in output.split("\n"):
        if line.startswith(seal):
            where, _, data = line[len(seal) + 1 :].partition(" ")
            number, _, count = where.partition("/")
            parts[int(number)], total = data, int(count)
        else:
            log.append(line)
    if not total or len(parts) != total:
        return "\n".join(log), None
    data = base64.b64decode("".join(parts[number] for number in sorted(parts)))
    return "\n".join(log), json.loads(data)
