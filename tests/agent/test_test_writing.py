"""A test script is valid only when code has seen it fail on the unedited tree."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

import agent.exchange
from agent.context.gather import Context
from agent.errors import ContextTooLong, ModelTimeout
from agent.exchange import Exchange, Ground
from agent.model.base import Completion, Profile, Request, Stage
from agent.model.scripted import SCRIPTED, Rule, ScriptedModel
from agent.task import Task, TaskId
from agent.test_writing import write_script
from agent.trajectory import Outcome
from sandbox.base import Limits, Patch, Recipe, RepoPath
from sandbox.script import Verdict
from tests.agent.fakes import InMemorySandbox, Judge, Memory

STRONG = replace(SCRIPTED, edit_format="search_replace")
FILES = {"clock.py": "def parse(text):\n    return int(text)\n"}


def fence(code: str) -> str:
    return f"```python\n{code}\n```"


BLIND = fence("from clock import parse\nassert parse('1') == 1")
BROKEN = fence("from clock import parse\nassert parse('1', 2, 3) == 1")
GOOD = fence("from clock import parse\nassert parse('2') == 3")


def judge(source: str, patch: Patch) -> Verdict:
    if "1, 2, 3" in source or "'1', 2" in source:
        return Verdict.BROKEN
    return Verdict.PASSED if "'1'" in source else Verdict.FAILED


def ground_of(
    monkeypatch: pytest.MonkeyPatch,
    rules: list[Rule],
    *,
    judge: Judge = judge,
    issue: str = "parse is wrong",
    outputs: dict[str, str] | None = None,
    profile: Profile = SCRIPTED,
) -> tuple[Ground, ScriptedModel, InMemorySandbox, Memory]:
    sandbox, model, memory = InMemorySandbox(FILES, judge, outputs), ScriptedModel(rules, profile), Memory()
    monkeypatch.setattr(agent.exchange, "run_script", sandbox.run)
    context = Context("files", (RepoPath("clock.py"),), sandbox.files, "")
    task = Task(TaskId("t"), issue, "clock", "HEAD", Recipe())
    ground = Ground.of(task, context, sandbox, model, memory, limits=Limits(), seed=0, parallel=1)  # pyright: ignore[reportArgumentType]
    return ground, model, sandbox, memory


async def test_turns_go_on_until_code_has_seen_the_script_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = [Rule(BLIND, turn=0), Rule(BROKEN, turn=1), Rule(GOOD)]
    ground, model, sandbox, memory = ground_of(monkeypatch, rules, profile=STRONG)
    script = await write_script(ground, "trajectory-0", 5)
    assert script is not None
    assert script.valid
    assert script.on_unedited.verdict is Verdict.FAILED
    assert len(model.requests) == 3
    assert [patch for _, patch in sandbox.executed] == ["", "", ""]
    assert [turn.outcome for turn in memory.turns] == [
        Outcome.SCRIPT_INVALID,
        Outcome.SCRIPT_INVALID,
        Outcome.SCRIPT_VALID,
    ]
    assert "does not show the issue" in model.requests[1].messages[-1].content
    assert "broke before" in model.requests[2].messages[-1].content


async def test_a_script_that_cannot_be_parsed_costs_no_execution(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = [Rule(fence("assert (("), turn=0), Rule(GOOD)]
    ground, model, sandbox, _ = ground_of(monkeypatch, rules, profile=STRONG)
    script = await write_script(ground, "trajectory-0", 3)
    assert script is not None
    assert script.valid
    assert len(sandbox.executed) == 1
    assert "not valid Python" in model.requests[1].messages[-1].content


async def test_a_small_model_is_asked_anew_and_a_little_hotter(monkeypatch: pytest.MonkeyPatch) -> None:
    ground, model, _, memory = ground_of(monkeypatch, [Rule(BLIND, turn=0), Rule(BROKEN, turn=1), Rule(GOOD)])
    script = await write_script(ground, "trajectory-0", 5)
    assert script is not None
    assert script.valid
    first, second, third = model.requests
    assert first.messages == second.messages == third.messages
    assert len({request.sampling.seed for request in model.requests}) == 3
    assert first.sampling.temperature == SCRIPTED.temperature
    assert second.sampling.temperature == third.sampling.temperature > first.sampling.temperature
    assert "does not show the issue" in memory.turns[0].feedback


def test_tasks_of_a_batch_are_drawn_with_luck_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server draws by the seed alone; answer `j` of a request has seed + j."""
    seeds = [
        ground.sampling(f"trajectory-{number}", stage, turn).seed + answer
        for ground in (ground_of(monkeypatch, [], issue=f"issue {n}")[0] for n in range(20))
        for stage in (Stage.TEST_WRITING, Stage.EDITING)
        for number in range(4)
        for turn in range(3)
        for answer in range(8)
    ]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**31 + 8 for seed in seeds)


async def test_at_the_limit_the_most_useful_script_is_kept_as_invalid(monkeypatch: pytest.MonkeyPatch) -> None:
    ground, _, _, _ = ground_of(monkeypatch, [Rule(BLIND, turn=0), Rule(BROKEN)])
    script = await write_script(ground, "trajectory-0", 3)
    assert script is not None
    assert not script.valid
    assert script.on_unedited.verdict is Verdict.PASSED


async def test_the_claim_of_a_model_makes_no_script_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    ground, _, _, _ = ground_of(monkeypatch, [Rule(f"{BLIND}\n<done> This script fails as it should, exit code 2.")])
    script = await write_script(ground, "trajectory-0", 2)
    assert script is not None
    assert not script.valid


async def test_no_script_at_all_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    ground, model, _, memory = ground_of(monkeypatch, [Rule("I cannot.")])
    assert await write_script(ground, "trajectory-0", 2) is None
    assert len(model.requests) == 2
    assert {turn.outcome for turn in memory.turns} == {Outcome.UNREADABLE}


async def test_a_conversation_that_outgrows_the_window_keeps_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    ground, _, _, memory = ground_of(monkeypatch, [Rule(BLIND, turn=0), Rule(ContextTooLong("too long"))])
    script = await write_script(ground, "trajectory-0", 3)
    assert script is not None
    assert memory.kinds() == ["trajectory_ended"]


async def test_a_dead_model_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    ground, _, _, _ = ground_of(monkeypatch, [Rule(ModelTimeout("too slow"))])
    with pytest.raises(ModelTimeout):
        await write_script(ground, "trajectory-0", 3)


TRACE = (
    'Traceback:\n  File "/s/script.py", line 2\n  File "/testbed/clock.py", line 2, in parse\n'
    "ValueError: invalid literal"
)


@pytest.mark.parametrize(
    ("issue", "output", "valid"),
    [
        ("It raises ValueError: invalid literal", TRACE, True),
        ("It gives a wrong number", TRACE, False),  # the issue does not complain of it
        ("It raises ValueError", TRACE.replace("/testbed/clock.py", "/usr/lib/x.py"), False),  # not the repository's
        ("It raises ClockError", TRACE.replace("ValueError", "ClockError"), False),  # unknown to the script
    ],
)
async def test_the_exception_of_which_the_issue_complains_counts_as_failing(
    monkeypatch: pytest.MonkeyPatch, issue: str, output: str, valid: bool
) -> None:
    source = "from clock import parse\nassert parse('2h') == 120\n"

    def raising(source: str, patch: Patch) -> Verdict:
        return Verdict.FAILED if "except ValueError" in source else Verdict.BROKEN

    ground, _, _, _ = ground_of(
        monkeypatch, [Rule(fence(source))], judge=raising, issue=issue, outputs={source: output}
    )
    script = await write_script(ground, "trajectory-0", 1)
    assert script is not None
    assert script.valid is valid
    assert ("except ValueError" in script.source) is valid


@pytest.mark.parametrize(("issue", "valid"), [("It raises ValueError: invalid literal", True), ("It is wrong", False)])
async def test_a_script_that_only_raises_what_the_issue_complains_of_is_one(
    monkeypatch: pytest.MonkeyPatch, issue: str, valid: bool
) -> None:
    source = "from clock import parse\nparse('2h')\nassert True, 'it came to its end'\n"

    def raising(source: str, patch: Patch) -> Verdict:
        return Verdict.FAILED if "except ValueError" in source else Verdict.BROKEN

    rules = [Rule(fence("from clock import parse\nparse('2h')"))]
    ground, _, _, memory = ground_of(monkeypatch, rules, judge=raising, issue=issue, outputs={source: TRACE})
    script = await write_script(ground, "trajectory-0", 1)
    assert (script is not None) is valid
    assert script is None or (script.valid and "raise AssertionError" in script.source)
    assert [turn.outcome for turn in memory.turns] == [Outcome.SCRIPT_VALID if valid else Outcome.UNREADABLE]


async def test_middle_turns_are_left_out_first_when_the_window_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    profile = replace(STRONG, context_tokens=1_400, script_tokens=200, edit_tokens=200)
    ground, model, _, _ = ground_of(monkeypatch, [Rule("x " * 400)], profile=profile)
    exchange = Exchange(ground, Stage.TEST_WRITING, "trajectory-0")
    for turn in range(6):
        await exchange.ask(f"prompt {turn}")
    last = model.requests[-1].messages
    assert [message.role for message in last[:2]] == ["system", "user"]
    assert last[1].content == "prompt 0"
    assert last[-1].content == "prompt 5"
    assert len(last) < 11
    roles = [message.role for message in last[1:]]
    assert all(one != other for one, other in pairwise(roles))


async def test_what_the_server_finds_too_long_is_tried_shorter(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = [Rule("answer", turn=0), Rule("answer", turn=1), Rule("answer", turn=2)]
    ground, model, _, _ = ground_of(monkeypatch, rules, profile=STRONG)
    exchange = Exchange(ground, Stage.EDITING, "trajectory-0")
    for turn in range(3):
        await exchange.ask(f"prompt {turn}")
    whole = model.complete

    async def strict(request: Request, n: int = 1) -> tuple[Completion, ...]:
        if len(request.messages) > 4:
            raise ContextTooLong("too long")
        return await whole(replace(request, turn=0), n)

    monkeypatch.setattr(model, "complete", strict)
    assert (await exchange.ask("prompt 3")).text == "answer"
    assert [message.content for message in model.requests[-1].messages[1:]] == ["prompt 0", "answer", "prompt 3"]


HANGS = 'Current thread 0x01 (most recent call first):\n  File "/testbed/clock.py", line 2 in parse\n  File "/tmp/s.py"'
ELSEWHERE = (
    'Current thread 0x01 (most recent call first):\n  File "/tmp/bestpatch-script/test_script.py", line 2 in <module>'
)


@pytest.mark.parametrize(("output", "valid"), [(HANGS, True), (ELSEWHERE, False), ("", False)])
async def test_a_script_that_does_not_come_back_from_the_repositorys_code_is_valid(
    monkeypatch: pytest.MonkeyPatch, output: str, valid: bool
) -> None:
    source = "from clock import parse\nassert parse('2') == 3"
    ground, *_ = ground_of(
        monkeypatch,
        [Rule(GOOD)],
        judge=lambda _, __: Verdict.TIMED_OUT,
        outputs={source + "\n": output},
    )
    script = await write_script(ground, "trajectory-1", 1)
    assert script is not None
    assert script.valid is valid
