"""The installed swebench package, releases 4.x: its recipes, test commands, parsers and grading.

It is loaded late, because that takes seconds. It names parsers by repository, and its constants by version.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from types import SimpleNamespace
from typing import Any, cast

from harness.errors import SwebenchMissing

_START, _END = ": '>>>>> Start Test Output'", ": '>>>>> End Test Output'"
_PARSERS = {"pytest": "pytest-dev/pytest", "unittest": "django/django"}
"""Parsers by the names of what they read, as a repository that has each."""


_LOADING = threading.Lock()
"""Its modules import each other in circles: two threads at once would meet in the middle."""


@cache
def _module(name: str) -> Any:
    """A module of swebench's harness. Raises SwebenchMissing."""
    with _LOADING:
        return _loaded(name)


def require() -> None:
    """Load what grading needs. Raises SwebenchMissing."""
    _module("grading")


def _loaded(name: str) -> Any:
    before = dict(os.environ)
    try:
        return import_module(f"swebench.harness.{name}")
    except ImportError as error:
        why = "is not installed" if installed_version() == "" else f"{installed_version()} cannot be used ({error})"
        raise SwebenchMissing(
            f"the package swebench {why}; install it with: pip install 'bestpatch[swebench]'"
        ) from None
    finally:
        # Its import reads a .env file of the working folder into the environment.
        for name in set(os.environ) - set(before):
            del os.environ[name]


def installed_version() -> str:
    """The release; "" where there is none."""
    try:
        return version("swebench")
    except PackageNotFoundError:
        return ""


def specs(repo: str, version: str) -> Mapping[str, Any] | None:
    """The constants of a repository's version; None where it has none. Raises SwebenchMissing."""
    known: Mapping[str, Any] = _module("constants").MAP_REPO_VERSION_TO_SPECS
    return cast("Mapping[str, Any]", known.get(repo, {})).get(version)


def language(repo: str) -> str:
    """`py`, `js`, `go`, ...; "" for a repository that swebench does not know."""
    return str(_module("constants").MAP_REPO_TO_EXT.get(repo, ""))


def requirement_paths(repo: str) -> Sequence[str]:
    """Where a repository has the requirements of its tests; the first that is there counts."""
    return tuple(_module("constants").MAP_REPO_TO_REQS_PATHS.get(repo, ()))


def test_files(repo: str, test_patch: str) -> tuple[str, ...]:
    """What a test command gets: the test files of a test patch, of Django the modules."""
    found = _module("test_spec.python").get_test_directives({"repo": repo, "test_patch": test_patch})
    return tuple(dict.fromkeys(cast("list[str]", found)))


def script(repo: str, version: str, instance_id: str, test_patch: str) -> tuple[str, ...]:
    """The commands of the official evaluation between applying the test patch and its end. Raises SwebenchMissing.

    Only where `specs` has something.
    """
    row = {"repo": repo, "version": version, "instance_id": instance_id, "test_patch": test_patch}
    make = _module("test_spec.create_scripts").make_eval_script_list
    lines = cast("list[str]", make(row, specs(repo, version), "testbed", "/testbed", "BASE", test_patch))
    applied = next(number for number, line in enumerate(lines) if line.startswith("git apply"))
    return tuple(line for line in lines[applied + 1 : lines.index(_END)] if line != _START)


def parser_name(repo: str, named: str, kind: str) -> str | None:
    """The repository whose parser reads a log: the named one, else the repository's own, else by the kind of runner."""
    known = cast("Mapping[str, object]", _module("log_parsers").MAP_REPO_TO_PARSER)
    return next((found for name in (named, repo, kind) if (found := _PARSERS.get(name, name)) in known), None)


def parse(parser: str, instance_id: str, log: str) -> dict[str, str]:
    """Test name -> `PASSED`, `FAILED`, `ERROR`, `SKIPPED` or `XFAIL`, as a log says; {} where it cannot be read."""
    known = cast("Mapping[str, Any]", _module("log_parsers").MAP_REPO_TO_PARSER)
    try:
        return cast("dict[str, str]", known[parser](log, SimpleNamespace(instance_id=instance_id, repo=parser)))
    except (ValueError, IndexError, KeyError):
        return {}  # a log that was cut short, or written to be like this


def graded(
    repo: str, statuses: Mapping[str, str], fail_to_pass: Iterable[str], pass_to_pass: Iterable[str]
) -> tuple[Mapping[str, Mapping[str, list[str]]], bool]:
    """The official report of tests, and whether the issue counts as resolved."""
    grading, constants = _module("grading"), _module("constants")
    kind = constants.EvalType.FAIL_ONLY if repo in constants.FAIL_ONLY_REPOS else constants.EvalType.PASS_AND_FAIL
    wanted = {"FAIL_TO_PASS": list(fail_to_pass), "PASS_TO_PASS": list(pass_to_pass)}
    report = grading.get_eval_tests_report(dict(statuses), wanted, eval_type=kind)
    return report, grading.get_resolution_status(report) == constants.ResolvedStatus.FULL.value
