"""What an editing trajectory leaves behind, for models that draw anew and for models that converse."""

from __future__ import annotations

from dataclasses import replace

import pytest

import agent.exchange
from agent.context.gather import Context
from agent.editing import edit
from agent.errors import ContextTooLong, ModelTimeout
from agent.exchange import Ground
from agent.model.base import Profile, Stage
from agent.model.scripted import SCRIPTED, Rule, ScriptedModel
from agent.task import Task, TaskId
from agent.trajectory import ISSUE, Candidate, Outcome, ScriptId, TestScript
from sandbox.base import Limits, Patch, Recipe, RepoPath
from sandbox.script import Verdict
from tests.agent.fakes import InMemorySandbox, Judge, Memory, run_of

TREE = {"calc.py": "def add(a, b):\n    return a - b\n\n\ndef twice(a):\n    return add(a, a)\n"}
SCRIPT = TestScript(
    ScriptId("s"), "assert add(1, 2) == 3\n", True, "trajectory-0", run_of(Verdict.FAILED, "AssertionError")
)
STRONG = replace(SCRIPTED, edit_format="search_replace", script_style="exit_codes")


def function(body: str) -> str:
    return f"```python\ndef add(a, b):\n    return {body}\n```"


def block(body: str) -> str:
    return f"calc.py\n<<<<<<< SEARCH\n    return a - b\n=======\n    return {body}\n>>>>>>> REPLACE\n"


def judge(source: str, patch: Patch) -> Verdict:
    return Verdict.PASSED if "a + b" in patch or "b + a" in patch else Verdict.FAILED


async def edited(
    monkeypatch: pytest.MonkeyPatch,
    rules: list[Rule],
    *,
    profile: Profile = SCRIPTED,
    script: TestScript | None = SCRIPT,
    turns: int = 4,
    review: bool = False,
    judge: Judge = judge,
    examples: tuple[TestScript, ...] = (),
) -> tuple[Candidate | None, ScriptedModel, InMemorySandbox, Memory]:
    sandbox, model, memory = InMemorySandbox(TREE, judge), ScriptedModel(rules, profile), Memory()
    monkeypatch.setattr(agent.exchange, "run_script", sandbox.run)
    context = Context("the files", (RepoPath("calc.py"),), sandbox.files, "")
    task = Task(TaskId("t"), "`twice(2)` is 0.", "calc", "HEAD", Recipe())
    ground = Ground.of(task, context, sandbox, model, memory, limits=Limits(), seed=0, parallel=2)  # pyright: ignore[reportArgumentType]
    made = await edit(ground, "trajectory-0", 0, script, turns, review=review, examples=examples)
    return made, model, sandbox, memory


async def test_the_passing_edit_is_kept_and_ends_the_trajectory(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = [Rule(function("b - a"), turn=0), Rule(function("a + b"))]
    candidate, model, _, memory = await edited(monkeypatch, rules)
    assert candidate is not None
    assert candidate.passes_own_script
    assert "a + b" in candidate.patch
    assert candidate.script == SCRIPT
    assert len(model.requests) == 2
    assert [turn.outcome for turn in memory.turns] == [Outcome.EDIT_APPLIED, Outcome.EDIT_PASSED]


async def test_a_small_model_draws_anew_for_the_next_suspect(monkeypatch: pytest.MonkeyPatch) -> None:
    _, model, _, _ = await edited(monkeypatch, [Rule(function("b - a"))], turns=3)
    prompts = [request.messages[-1].content for request in model.requests]
    assert all(len(request.messages) == 2 for request in model.requests)
    assert ["`twice`" in prompt.split("\n")[0] for prompt in prompts] in ([True, False, True], [False, True, False])
    assert ["assert add(1, 2) == 3" in prompt for prompt in prompts] == [True, False, True]


async def test_without_a_passing_edit_the_first_one_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = [Rule("nothing", turn=0), Rule(function("b - a"), turn=1), Rule(function("a * b"), turn=2), Rule("no")]
    candidate, _, _, _ = await edited(monkeypatch, rules)
    assert candidate is not None
    assert not candidate.passes_own_script
    assert "b - a" in candidate.patch


async def test_no_edit_at_all_is_no_candidate(monkeypatch: pytest.MonkeyPatch) -> None:
    candidate, model, _, memory = await edited(monkeypatch, [Rule("I do not know.")], turns=3)
    assert candidate is None
    assert len(model.requests) == 3
    assert {turn.outcome for turn in memory.turns} == {Outcome.EDIT_INVALID}
    assert all(turn.feedback for turn in memory.turns)


async def test_without_a_valid_script_one_edit_is_made_from_the_issue(monkeypatch: pytest.MonkeyPatch) -> None:
    invalid = replace(SCRIPT, valid=False)
    candidate, model, sandbox, _ = await edited(monkeypatch, [Rule(function("a + b"))], script=invalid)
    assert candidate is not None
    assert (candidate.script, candidate.passes_own_script) == (None, False)
    assert sandbox.executed == []
    assert len(model.requests) == 1
    assert "assert add" not in model.requests[0].messages[-1].content


@pytest.mark.parametrize("profile", [SCRIPTED, STRONG])
@pytest.mark.parametrize("error", [ContextTooLong("too long"), ModelTimeout("too slow")])
async def test_what_ends_a_trajectory_leaves_its_patch(
    monkeypatch: pytest.MonkeyPatch, profile: Profile, error: ContextTooLong | ModelTimeout
) -> None:
    first = function("b - a") if profile is SCRIPTED else block("b - a")
    candidate, _, _, memory = await edited(monkeypatch, [Rule(first, turn=0), Rule(error)], profile=profile)
    assert candidate is not None
    assert "b - a" in candidate.patch
    assert memory.kinds() == ["trajectory_ended"]


async def test_a_prompt_that_never_fits_gives_no_candidate(monkeypatch: pytest.MonkeyPatch) -> None:
    candidate, _, _, memory = await edited(monkeypatch, [Rule(ContextTooLong("too long"))])
    assert candidate is None
    assert memory.kinds() == ["trajectory_ended"]


async def test_a_failure_before_any_patch_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelTimeout):
        await edited(monkeypatch, [Rule(ModelTimeout("too slow"))])


async def test_a_conversation_sees_what_was_executed(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = [Rule("no edit here", turn=0), Rule(block("b - a"), turn=1), Rule(block("a + b"))]
    candidate, model, _, _ = await edited(monkeypatch, rules, profile=STRONG)
    assert candidate is not None
    assert candidate.passes_own_script
    last = model.requests[-1].messages
    assert [message.role for message in last] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert "return b - a" in last[-1].content
    assert "still fails" in last[-1].content


async def test_an_approved_edit_is_asked_about_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = [Rule(block("a + b"), turn=0), Rule("<done>")]
    candidate, model, _, _ = await edited(monkeypatch, rules, profile=STRONG, review=True)
    assert candidate is not None
    assert candidate.passes_own_script
    assert len(model.requests) == 2
    assert "`<done>`" in model.requests[1].messages[-1].content


async def test_a_review_can_improve_but_not_lose_a_passing_edit(monkeypatch: pytest.MonkeyPatch) -> None:
    better = [Rule(block("a + b"), turn=0), Rule(block("b + a"))]
    candidate, model, _, _ = await edited(monkeypatch, better, profile=STRONG, review=True)
    assert candidate is not None
    assert "b + a" in candidate.patch
    assert len(model.requests) == 2
    worse = [Rule(block("a + b"), turn=0), Rule(block("a * b"))]
    candidate, _, _, _ = await edited(monkeypatch, worse, profile=STRONG, review=True)
    assert candidate is not None
    assert "a + b" in candidate.patch
    assert candidate.passes_own_script


async def test_done_before_any_passing_edit_is_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = [Rule("<done>", turn=0), Rule(block("a + b"))]
    candidate, model, _, _ = await edited(monkeypatch, rules, profile=STRONG)
    assert candidate is not None
    assert candidate.passes_own_script
    assert len(model.requests) == 2


async def test_a_new_script_counts_only_when_it_fails_on_the_unedited_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    blind = "```python\nimport sys\nsys.exit(0)\n```"
    sound = "```python\nimport sys\nfrom calc import add\nsys.exit(0 if add(2, 2) == 4 else 2)\n```"

    def strict(source: str, patch: Patch) -> Verdict:
        if "sys.exit(0)" in source:
            return Verdict.PASSED
        if "assert" in source:
            return Verdict.FAILED  # the seed is wrong: nothing passes it
        return Verdict.PASSED if "a + b" in patch else Verdict.FAILED

    rules = [Rule(block("a + b"), turn=0), Rule(blind, turn=1), Rule(sound)]
    candidate, model, _, memory = await edited(monkeypatch, rules, profile=STRONG, judge=strict)
    assert candidate is not None
    assert candidate.passes_own_script
    assert candidate.script is not None
    assert "add(2, 2) == 4" in candidate.script.source
    assert candidate.script.valid
    assert "ended as passed" in model.requests[2].messages[-1].content
    outcomes = [turn.outcome for turn in memory.turns]
    assert outcomes == [Outcome.EDIT_APPLIED, Outcome.SCRIPT_INVALID, Outcome.EDIT_PASSED]
    assert all(request.stage is Stage.EDITING for request in model.requests)


def example(call: str, *, valid: bool = True) -> TestScript:
    run = run_of(Verdict.FAILED if valid else Verdict.PASSED)
    return TestScript(ScriptId(f"script-issue-{call}"), f"assert {call}\n", valid, ISSUE, run, guard=not valid)


EXAMPLES = (example("add(3, 2) == 5"), example("add(0, 5) == 5"), example("add(0, 0) == 0", valid=False))
PASSES = {"a + b": "sxy0", "b + a": "xy0", "a * b": "s0", "a": "s", "b": "x0"}
"""Which scripts pass a body: the own one (s), the examples (x, y), the guard (0)."""


def by_body(source: str, patch: Patch) -> Verdict:
    body = next(body for body in PASSES if f"return {body}\n\n" in patch)
    letter = {SCRIPT.source: "s", **{script.source: letter for script, letter in zip(EXAMPLES, "xy0", strict=True)}}
    return Verdict.PASSED if letter[source] in PASSES[body] else Verdict.FAILED


@pytest.mark.parametrize(
    ("bodies", "kept", "own"),
    [
        (["a * b", "a + b"], "a + b", True),  # its own script alone does not end it
        (["b + a", "a + b"], "a + b", True),  # nor do the examples alone
        (["a * b", "b + a", "a", "b"], "b + a", False),  # where they disagree, the examples count
        (["a", "b", "a * b", "a"], "b", False),  # as many as hold with it
        (["a", "a", "a", "a * b"], "a * b", True),
    ],
)
async def test_an_edit_is_done_when_the_issues_examples_pass_as_well(
    monkeypatch: pytest.MonkeyPatch, bodies: list[str], kept: str, own: bool
) -> None:
    rules = [Rule(function(body), turn=turn) for turn, body in enumerate(bodies)]
    candidate, model, _, memory = await edited(monkeypatch, rules, judge=by_body, examples=EXAMPLES)
    assert candidate is not None
    assert f"return {kept}\n" in candidate.patch
    assert candidate.passes_own_script is own
    assert candidate.script == SCRIPT
    assert len(model.requests) == len(bodies)
    assert (memory.turns[-1].outcome is Outcome.EDIT_PASSED) is (kept == "a + b")
    assert "examples of the issue hold" in memory.turns[0].feedback


async def test_after_an_example_that_does_not_end_no_other_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(source: str, patch: Patch) -> Verdict:
        return Verdict.PASSED if source == SCRIPT.source else Verdict.TIMED_OUT

    rules = [Rule(function("a + b"))]
    _, _, sandbox, _ = await edited(monkeypatch, rules, judge=slow, examples=EXAMPLES, turns=1)
    assert [source for source, _ in sandbox.executed] == [SCRIPT.source, EXAMPLES[0].source]


async def test_a_model_that_mends_keeps_to_its_own_script(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = [Rule(block("a * b"))]
    candidate, model, _, _ = await edited(monkeypatch, rules, profile=STRONG, judge=by_body, examples=EXAMPLES)
    assert candidate is not None
    assert candidate.passes_own_script
    assert len(model.requests) == 1
