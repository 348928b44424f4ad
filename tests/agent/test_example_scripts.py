"""Examples as test scripts: what is compared how, by real executions; which are valid, guards, or have no vote."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import agent.exchange
from agent.context.gather import Context
from agent.example_scripts import functions_named, issue_scripts, script_of
from agent.examples import Example, examples_of
from agent.exchange import Ground
from agent.model.scripted import ScriptedModel
from agent.snippet import Symbols
from agent.task import Task, TaskId
from agent.trajectory import ISSUE, TestScript
from sandbox.base import Limits, Patch, Recipe, RepoPath, Tree
from sandbox.errors import SandboxError
from sandbox.script import SCRIPT_PATH, Verdict, script_command
from tests.agent.fakes import InMemorySandbox, Judge, Memory

CODE = """\
class Empty(Exception):
    pass

class Money:
    def __init__(self, amount):
        self.amount = amount
    def __repr__(self):
        return "<Money   %d of euro>" % self.amount

def give(value):
    return value

def fail(text):
    raise Empty(text)
"""
TREE: Tree = {RepoPath("shop.py"): CODE.encode()}
SYMBOLS = Symbols(TREE, [RepoPath("shop.py")])


def source_of(issue: str) -> str:
    (example,) = examples_of(issue, functions_named(issue, TREE, list(TREE)))
    source = script_of(example, SYMBOLS)
    assert source is not None
    return source


def code_of(issue: str, folder: Path) -> int:
    """The exit code of the issue's one example, by the runner that is used in sandboxes."""
    repository, script = folder / "repository", folder / Path(SCRIPT_PATH).name
    repository.mkdir()
    (repository / "shop.py").write_text(CODE)
    script.write_text(source_of(issue))
    command = script_command(sys.executable, str(script), str(repository))
    return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode


@pytest.mark.parametrize(
    "issue",
    [
        ">>> give([1, 2])\n[1,\n  2]\n",
        ">>> give({2, 1})\n{1, 2}\n",
        ">>> give({'b': 1, 'a': 0})\n{'a': 0, 'b': 1}\n",
        ">>> give(None) == None\n",
        ">>> give(0.1 + 0.2)\n0.3\n",
        ">>> give((0.1 + 0.2, [1]))\n(0.3, [1])\n",
        ">>> give({1: 0.1 + 0.2})\n{1: 0.3}\n",
        ">>> give(float('inf'))\n1e999\n",
        ">>> give(Money(3))\n<Money 3 of euro>\n",
        ">>> give(Money(3))\n<Money ... euro>\n",
        ">>> print(give('a'), 1)\na   1\n",
        ">>> fail('no')\nTraceback (most recent call last):\n  ...\nshop.Empty: no\n",
        ">>> fail('no')\nTraceback (most recent call last):\n  ...\nException: no\n",
        ">>> from shop import Money as M\n>>> m = M(3)\n>>> m.amount = 4\n>>> give(m.amount)\n4\n",
        "give(3) => 3",
        "For value = 3, the result should be 3\nThe function is `give`.",
    ],
)
def test_what_comes_as_the_issue_says_passes(issue: str, tmp_path: Path) -> None:
    assert code_of(issue, tmp_path) == 0


@pytest.mark.parametrize(
    "issue",
    [
        ">>> give([1, 2])\n[2, 1]\n",
        ">>> give((1, 2))\n[1, 2]\n",
        ">>> give(0)\nNone\n",
        ">>> give(0.31)\n0.3\n",
        ">>> give(None)\n0.3\n",
        ">>> give([0.3])\n(0.3,)\n",
        ">>> give({2: 0.3})\n{1: 0.3}\n",
        ">>> give(Money(4))\n<Money 3 of euro>\n",
        ">>> print(give('b'), 1)\na 1\n",
        ">>> fail('no')\nTraceback (most recent call last):\n  ...\nValueError: no\n",
        ">>> give('no')\nTraceback (most recent call last):\n  ...\nEmpty: no\n",
    ],
)
def test_anything_else_fails(issue: str, tmp_path: Path) -> None:
    assert code_of(issue, tmp_path) == 2


@pytest.mark.parametrize(
    "issue",
    [
        "len([1]) == 1",  # nothing of the repository
        ">>> import json\n>>> json.dumps(1)\n'1'\n",
        "give(amount) == 3",  # nobody says what `amount` is
        "give('```') == 1",
        ">>> give(" + "'a', " * 900 + ")\n1\n",
    ],
)
def test_what_makes_no_script(issue: str) -> None:
    for example in examples_of(issue, {}):
        assert script_of(example, SYMBOLS) is None


def test_a_script_is_short_enough_to_be_shown_to_a_small_model() -> None:
    assert (
        source_of("give(3) => 4") == "from shop import give\nfound = give(3)\nassert found == 4, f'found {found!r}'\n"
    )


async def made(
    monkeypatch: pytest.MonkeyPatch, issue: str, judge: Judge, outputs: dict[str, str] | None = None, lost: int = 0
) -> tuple[tuple[TestScript, ...], Memory]:
    sandbox, memory = InMemorySandbox({"shop.py": CODE}, judge, outputs), Memory()
    sandbox.errors = [SandboxError("gone")] * lost
    monkeypatch.setattr(agent.exchange, "run_script", sandbox.run)
    context = Context("", tuple(TREE), sandbox.files, "")
    task = Task(TaskId("t"), issue, "shop", "HEAD", Recipe())
    ground = Ground.of(task, context, sandbox, ScriptedModel([]), memory, limits=Limits(), seed=0, parallel=2)  # pyright: ignore[reportArgumentType]
    return await issue_scripts(ground), memory


def kinds(scripts: tuple[TestScript, ...]) -> list[str]:
    return ["valid" if script.valid else "guard" if script.guard else "none" for script in scripts]


def holds(*calls: str) -> Judge:
    def judge(source: str, patch: Patch) -> Verdict:
        return Verdict.PASSED if any(call in source for call in calls) else Verdict.FAILED

    return judge


async def test_an_example_that_fails_is_valid_and_one_beside_it_that_holds_is_a_guard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scripts, _ = await made(monkeypatch, "give(1) == 1\ngive(2) == 3\n", holds("give(1)"))
    assert kinds(scripts) == ["guard", "valid"]
    assert [script.id for script in scripts] == ["script-issue-0", "script-issue-1"]
    assert {script.trajectory for script in scripts} == {ISSUE}


@pytest.mark.parametrize(
    ("issue", "why"),
    [
        (">>> give(1)\n2\n", "it is all that is shown"),
        ("```\n>>> give(1)\n2\n```\nbut\n```\n>>> give(2)\n3\n```\n", "what fails stands in another block"),
        (">>> give(1)\n2\n\nI expected 1.\n", "something else of the same call was expected"),
        (">>> give(1)\nTraceback (most recent call last):\nEmpty\n>>> give(2)\n3\n", "it is a traceback"),
    ],
)
async def test_what_holds_today_may_be_what_is_wrong(monkeypatch: pytest.MonkeyPatch, issue: str, why: str) -> None:
    scripts, _ = await made(monkeypatch, issue, holds("found == 2", "'Empty'"))
    assert kinds(scripts)[0] == "none", why
    assert kinds(scripts)[1:] in ([], ["valid"])


async def test_any_exception_of_the_code_called_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    trace = 'Traceback (most recent call last):\n  File "/testbed/shop.py", line 1, in give\nIndexError: no\n'

    def judge(source: str, patch: Patch) -> Verdict:
        return Verdict.FAILED if "except IndexError" in source else Verdict.BROKEN

    source = source_of("give(1) == 1")
    scripts, _ = await made(monkeypatch, "give(1) == 1", judge, {source: trace})
    assert kinds(scripts) == ["valid"]
    assert "except IndexError" in scripts[0].source


async def test_an_example_that_the_sandbox_lost_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    scripts, memory = await made(monkeypatch, "give(1) == 1\ngive(2) == 3\n", holds(), lost=1)
    assert [script.id for script in scripts] == ["script-issue-1"]
    assert memory.kinds() == ["example_failed"]


@pytest.mark.parametrize(
    ("issue", "found"),
    [
        ("give is wrong:\n>>> giv(1)\n2\n", ["give(1)"]),
        ("give is wrong:\n>>> give(1)\n2\n", ["give(1)"]),
        ("give is wrong:\n>>> giv(1, 2)\n2\n", []),
        ("give and fail are wrong:\n>>> giv(1)\n2\n", []),
        ("give is wrong:\n>>> len('ab')\n2\n", []),
        ("give is wrong:\n>>> Money(1)\n2\n", ["Money(1)"]),
    ],
)
async def test_a_call_of_what_nobody_defines_means_the_one_function_that_the_issue_names(
    monkeypatch: pytest.MonkeyPatch, issue: str, found: list[str]
) -> None:
    scripts, _ = await made(monkeypatch, issue, lambda _, __: Verdict.FAILED)
    assert [call for call in found if any(f"{call}\n" in script.source for script in scripts)] == found
    assert len(scripts) == len(found)


async def test_an_issue_without_examples_runs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    scripts, _ = await made(monkeypatch, "It is slow.", holds())
    assert scripts == ()


def test_functions_that_the_issue_names() -> None:
    tree: Tree = {
        RepoPath("shop.py"): b"def give(value, *, twice=False): ...\ndef other(x): ...\n",
        RepoPath("bad.py"): b"def give(",
        RepoPath("tests/test_shop.py"): b"def give(no): ...\n",
    }
    assert functions_named("`give` is wrong", tree, list(tree)) == {"give": ["value"]}


@given(st.text(max_size=60), st.text(max_size=30), st.booleans())
def test_any_example_becomes_a_script_or_none(call: str, expected: str, raises: bool) -> None:
    source = script_of(Example(0, (), call, expected, raises), SYMBOLS)
    assert source is None or "shop" in source
