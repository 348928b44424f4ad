"""What is run to grade, and which parser reads it."""

from __future__ import annotations

from typing import Any

import pytest

from harness import swebench
from harness.errors import InstanceError
from harness.evaluation.plan import plan_of, rendered
from harness.instances import Instance
from tests.harness.test_instances import ROW

PATCH = (
    "diff --git a/tests/test_a.py b/tests/test_a.py\n--- a/tests/test_a.py\n+++ b/tests/test_a.py\n"
    "@@ -1 +1 @@\n-a\n+b\n"
)


def instance(**change: Any) -> Instance:
    return Instance.model_validate({**ROW, "test_patch": PATCH, **change})


def test_a_version_that_swebench_knows() -> None:
    plan = plan_of(instance(repo="psf/requests", version="2.0"))
    assert (plan.command, plan.program.kind, plan.parser) == ("pytest -rA tests/test_a.py", "pytest", "psf/requests")
    sympy = plan_of(instance(repo="sympy/sympy", version="1.1"))
    assert (sympy.program.kind, sympy.parser) == ("sympy", "sympy/sympy")
    assert "PYTHONWARNINGS" in sympy.program.env
    django = plan_of(instance(repo="django/django", version="3.0"))
    assert (django.program.kind, django.program.argv[-1]) == ("unittest", "test_a")
    sphinx = plan_of(instance(repo="sphinx-doc/sphinx", version="4.1"))
    assert (sphinx.program.kind, sphinx.parser) == ("pytest", "sphinx-doc/sphinx")


def test_an_instances_own_command() -> None:
    own = {"test_cmd": "pytest {tests} -q", "eval_commands": ["export A=1"]}
    plan = plan_of(instance(environment=own))
    assert (plan.command, plan.before, plan.parser) == (
        "pytest tests/test_a.py -q",
        ("export A=1",),
        "pytest-dev/pytest",
    )
    assert plan_of(instance(environment={"test_cmd": "./run.py"})).parser == "django/django"
    live = plan_of(instance(test_cmds=["make x", "pytest -rA"], log_parser="pytest"))
    assert (live.command, live.program.kind, live.parser) == ("make x\npytest -rA", "shell", "pytest-dev/pytest")


def test_nobody_says_how() -> None:
    with pytest.raises(InstanceError, match="swebench knows no test command for acme/calc"):
        plan_of(instance())
    with pytest.raises(InstanceError, match=r"no parser for the output of 'make test tests/test_a.py'"):
        plan_of(instance(environment={"test_cmd": "make test"}))


OUTCOMES = [("PASSED", "a"), ("FAILED", "b"), ("ERROR", "c")]


@pytest.mark.parametrize(
    ("kind", "parser", "names"),
    [
        ("pytest", "pytest-dev/pytest", ["t.py::a", "t.py::b", "t.py::c"]),
        ("pytest", "mwaskom/seaborn", ["t.py::a", "t.py::b"]),
        ("pytest", "sphinx-doc/sphinx", ["t.py::a", "t.py::b", "t.py::c"]),
        ("unittest", "django/django", ["test_a (m.T)", "test_b (m.T)", "test_c (m.T)"]),
        ("sympy", "sympy/sympy", ["test_a", "test_b", "test_c"]),
    ],
)
def test_a_record_is_read_as_the_log_would_be(kind: Any, parser: str, names: list[str]) -> None:
    outcomes = [(status, name) for (status, _), name in zip(OUTCOMES, names, strict=False)]
    assert swebench.parse(parser, "x", rendered(outcomes, kind)) == {name: status for status, name in outcomes}


def test_a_description_stands_for_its_test() -> None:
    """As in the published lists, which were read from logs."""
    log = rendered(
        [("PASSED", "test_a (m.T)\nIt works."), ("SKIPPED", "test_b (m.T)"), ("XPASS", "test_c (m.T)")], "unittest"
    )
    assert swebench.parse("django/django", "x", log) == {"It works.": "PASSED", "test_b (m.T)": "SKIPPED"}
