"""Faults of CodeMonkeys' context, test-writing and editing stages, seen by running it; ours has none of them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from agent.context.ranking import read_ranking
from agent.context.sources import is_test
from agent.context.survey import read_summary
from agent.context.window import counter, pack
from agent.model.base import Stage
from agent.model.scripted import Rule
from agent.snippet import Script, Symbols, read_script
from agent.trajectory import Outcome
from sandbox.base import Patch, RepoPath
from sandbox.script import Verdict
from tests.agent.context.test_window import file
from tests.agent.test_propose import BLIND_SCRIPT, CODE, GOOD_SCRIPT, RIGHT, WRONG, proposed

SAME = f"```python\n{CODE}```"


async def test_the_last_allowed_turn_is_executed_and_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """There, the counter ends one past the limit, on a question that nobody answers."""
    rules = [
        Rule(GOOD_SCRIPT, stage=Stage.TEST_WRITING),
        Rule(RIGHT, stage=Stage.EDITING, turn=2),
        Rule(WRONG, stage=Stage.EDITING),
    ]
    result, model, _, memory = await proposed(monkeypatch, rules, count=1, edit_turns=3)
    assert result.candidates[0].passes_own_script
    assert [request.turn for request in model.requests if request.stage is Stage.EDITING] == [0, 1, 2]
    assert memory.turns[-1].outcome is Outcome.EDIT_PASSED


@pytest.mark.parametrize(
    "before",
    [
        "I put it between ```python and ``` marks, tags like <test> are not needed.\n",
        "First I thought of\n```\nassert False\n```\nbut better is:\n",
        "The `<test>` tag </test> and <edit> are only mentioned.\n",
    ],
)
def test_a_mention_of_the_format_captures_no_garbage(before: str) -> None:
    """There, naming a tag in the reasoning makes everything after it the script."""
    found = read_script(f"{before}```python\nassert 1 == 2\n```\n", Symbols({}, []), asserts=True)
    assert isinstance(found, Script)
    assert found.source == "assert 1 == 2\n"


@pytest.mark.parametrize(
    "path",
    ["sklearn/tests/test_base.py", "sympy/core/tests/test_expr.py", "django/contrib/admin/tests.py", "conftest.py"],
)
def test_nested_tests_are_tests(path: str) -> None:
    """There, only a top-level `tests` folder is left out."""
    assert is_test(path)


@pytest.mark.parametrize(
    "text",
    [
        "RELEVANCE: Relevant\nSUMMARY: Parses durations.\nAnd times\nof day.",
        "RELEVANCE: Relevant\nSummary:\n- Parses durations.\n- And times of day.",
        "**RELEVANCE:** Relevant\n**SUMMARY:** Parses durations.\n\nI hope this helps.",
    ],
)
def test_summaries_of_several_lines_or_with_bold_labels_are_kept(text: str) -> None:
    """There, each of these drops the file for good."""
    found = read_summary(text)
    assert found is not None
    assert "Parses durations." in found


def test_quoting_the_negative_form_flips_nothing() -> None:
    """There, a sentence that quotes the negative verdict makes a relevant file irrelevant."""
    text = 'One could say "pkg/a.py is Not Relevant", but it defines the class. {"files": ["pkg/a.py"]}'
    assert read_ranking(text, [RepoPath("pkg/a.py"), RepoPath("pkg/b.py")]) == ["pkg/a.py"]


def test_equal_ranks_do_not_depend_on_the_hash_seed() -> None:
    """There, ties follow the order of a set of strings, another in each process."""
    code = (
        "from agent.context.ranking import merged\n"
        "print(merged([[f'f{i}.py' for i in range(30)], [f'f{29 - i}.py' for i in range(30)]]))"
    )
    orders = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(orders) == 1


@pytest.mark.parametrize("text", ["no list at all", "```json\n[\n```", "```json\n[]\n```", '```json\n{"a": 1}\n```'])
def test_an_unreadable_ranking_is_no_exception(text: str) -> None:
    """There, it aborts the stage for all instances."""
    assert read_ranking(text, [RepoPath("a.py")]) is None


def test_the_first_file_that_does_not_fit_is_not_the_end() -> None:
    """There, packing stops at it, and is empty when it is the first."""
    count = counter(4.0)
    files = [file("huge.py", "def f():\n    return 1\n" * 3000), file("small.py", "x = 1\n")]
    packed = pack(files, "`f` is wrong", 400, count)
    assert packed.paths == ("huge.py", "small.py")
    assert packed.partial == ("huge.py",)
    assert json.dumps(packed.left_out) == "[]"


async def test_a_trajectory_without_a_script_kills_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """There, one such sample ends the editing stage of all instances."""
    rules = [Rule("no script", GOOD_SCRIPT, stage=Stage.TEST_WRITING), Rule(RIGHT, stage=Stage.EDITING)]
    result, _, _, _ = await proposed(monkeypatch, rules, count=2, test_turns=1)
    assert len(result.candidates) == 2


async def test_a_script_that_passes_on_the_unedited_tree_is_not_taken_for_valid(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """There, no code ever compares a script's exit code on the original tree with 2."""
    rules = [Rule(BLIND_SCRIPT, stage=Stage.TEST_WRITING), Rule(RIGHT, stage=Stage.EDITING)]
    result, _, _, _ = await proposed(monkeypatch, rules, count=1)
    assert not any(script.valid for script in result.scripts)
    assert not result.candidates[0].passes_own_script


async def test_a_last_edit_that_changes_nothing_does_not_lose_an_earlier_patch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """There, a final empty diff discards the good patches before it."""

    def unsure(source: str, patch: Patch) -> Verdict:
        return Verdict.FAILED  # the script is wrong: nothing passes it

    rules = [
        Rule(GOOD_SCRIPT, stage=Stage.TEST_WRITING),
        Rule(RIGHT, stage=Stage.EDITING, turn=0),
        Rule(SAME, stage=Stage.EDITING),
    ]
    result, _, _, memory = await proposed(monkeypatch, rules, judge=unsure, count=1, edit_turns=2)
    assert "a + b" in result.candidates[0].patch
    assert memory.turns[-1].outcome is Outcome.EDIT_INVALID
