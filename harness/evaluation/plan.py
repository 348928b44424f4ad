"""What is run to grade a patch of an instance, and which parser reads it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from harness import swebench
from harness.errors import InstanceError
from harness.instances import Instance
from sandbox.recorded import Kind, TestProgram, program_of

PLACE = "{tests}"

_TOX = re.compile(r"^tox --current-env -e\w+ -v --(?= )")
"""Sphinx's command reads the options of pytest from a file of the tree that swebench has changed before."""


@dataclass(frozen=True)
class TestPlan:
    """How an instance's tests are run and read."""

    __test__ = False  # pytest: not a test class

    command: str
    program: TestProgram
    before: tuple[str, ...]
    """Shell commands that prepare each run."""
    parser: str
    """The repository whose parser reads the log."""


def plan_of(instance: Instance) -> TestPlan:
    """Raises InstanceError where nobody says how the tests are run or read, SwebenchMissing."""
    own = instance.environment
    commands = _commands(instance)
    if not commands:
        raise InstanceError(
            instance.instance_id,
            f"{instance.instance_id}: swebench knows no test command for {instance.repo} "
            f"{instance.version or '(no version)'}; give the instance an environment with test_cmd",
        )
    command = "\n".join(_TOX.sub("pytest -rA --durations 25", command) for command in commands)
    program = program_of(command)
    named = own.log_parser if own is not None and own.log_parser else instance.log_parser
    parser = swebench.parser_name(instance.repo, named, program.kind)
    if parser is None:
        raise InstanceError(
            instance.instance_id,
            f"{instance.instance_id}: no parser for the output of {command!r}; name one in environment.log_parser, "
            "such as pytest, unittest, or a repository that swebench knows",
        )
    return TestPlan(command, program, own.eval_commands if own is not None else (), parser)


def _commands(instance: Instance) -> Sequence[str]:
    own = instance.environment
    if own is not None and own.test_cmd:
        files = shlex.join(swebench.test_files(instance.repo, instance.test_patch))
        return [own.test_cmd.replace(PLACE, files) if PLACE in own.test_cmd else f"{own.test_cmd} {files}".strip()]
    if instance.test_cmds:
        return instance.test_cmds
    if swebench.specs(instance.repo, instance.version) is None:
        return ()
    return swebench.script(instance.repo, instance.version, instance.instance_id, instance.test_patch)


def rendered(outcomes: Sequence[tuple[str, str]], kind: Kind) -> str:
    """Recorded outcomes as the log that their parser reads: the test runner's own lines, and nothing else."""
    words = {
        "unittest": {"PASSED": "... ok", "FAILED": "... FAIL", "ERROR": "... ERROR", "SKIPPED": "... skipped"},
        "sympy": {"PASSED": "ok", "FAILED": "F", "ERROR": "E"},
    }.get(kind)
    if words is None:
        return "".join(f"{status} {name}\n" for status, name in outcomes)
    return "".join(f"{name} {words.get(status, status)}\n" for status, name in outcomes)
