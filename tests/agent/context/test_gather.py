"""The context of a task, from whole small repositories to surveyed and ranked large ones."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.context.gather import Context, GatherSettings, gather
from agent.context.survey import read_summary
from agent.errors import ModelTimeout, ModelUnavailable
from agent.model.base import Profile, Request, Stage
from agent.model.scripted import SCRIPTED, Rule, ScriptedModel
from agent.task import Task, TaskId
from sandbox.base import Recipe, RepoPath, Tree
from tests.agent.fakes import Memory

SMALL = replace(SCRIPTED, context_budget=1_000, context_tokens=8_000)
"""A profile of a slow machine: few files are described, and all rankings are drawn at once."""
FAST = replace(SCRIPTED, context_budget=10_000, context_tokens=60_000)

TASK = Task(TaskId("t"), "`parse_duration` gives a wrong duration for whole hours.", "repo", "HEAD", Recipe())
SUMMARY = json.dumps({"summary": "Parses durations and times of day."})


def tree(files: dict[str, str]) -> Tree:
    return {RepoPath(path): text.encode() for path, text in files.items()}


def many(count: int = 12, size: int = 80) -> dict[str, str]:
    files = {f"pkg/module_{i:02}.py": f"def function_{i}(x):\n    return x\n" + "z = 1\n" * size for i in range(count)}
    files["pkg/clock.py"] = "def parse_duration(text):\n    return 0\n" + "y = 1\n" * 30
    files["tests/test_clock.py"] = "from pkg.clock import parse_duration\n" * 4
    return files


async def gathered(
    files: dict[str, str],
    rules: list[Rule],
    cache: Path,
    profile: Profile = SMALL,
    settings: GatherSettings | None = None,
    task: Task = TASK,
) -> tuple[Context, ScriptedModel, Memory]:
    model, memory = ScriptedModel(rules, profile), Memory()
    context = await gather(task, tree(files), model, cache=cache, seed=0, recorder=memory, settings=settings)
    return context, model, memory


def ranked(*paths: str) -> Rule:
    return Rule(json.dumps({"files": list(paths)}), stage=Stage.RANKING)


async def test_a_small_repository_goes_in_whole_without_a_model(tmp_path: Path) -> None:
    files = {
        "README.md": "read me",
        "pkg/a.py": "x = 1\n",
        "pkg/clock.py": "def parse_duration(text):\n    return 0\n",
        "tests/test_a.py": "parse_duration = 1\n",
    }
    context, model, _ = await gathered(files, [], tmp_path)
    assert context.paths == ("pkg/clock.py", "pkg/a.py", "tests/test_a.py")
    assert model.requests == []
    assert "2 source files" in context.note
    assert context.text.index("clock.py") < context.text.index("test_a.py")


async def test_tests_that_do_not_fit_are_left_out_of_a_small_repository(tmp_path: Path) -> None:
    files = {"a.py": "x = 1\n", "tests/test_big.py": "y = 1\n" * 3000, "tests/test_small.py": "z = 1\n"}
    context, model, _ = await gathered(files, [], tmp_path, settings=None)
    assert "a.py" in context.paths
    assert "tests/test_small.py" in context.paths
    assert model.requests == []
    assert len(context.text) < 4_500


async def test_a_repository_without_sources_has_an_empty_context(tmp_path: Path) -> None:
    context, model, _ = await gathered({"LICENSE": "free"}, [], tmp_path)
    assert (context.text, context.paths) == ("", ())
    assert model.requests == []


async def test_a_large_repository_is_surveyed_ranked_and_packed(tmp_path: Path) -> None:
    rules = [Rule(SUMMARY, stage=Stage.SURVEY), ranked("pkg/clock.py", "pkg/module_03.py")]
    context, model, memory = await gathered(many(), rules, tmp_path)
    assert context.paths[:2] == ("pkg/clock.py", "pkg/module_03.py")
    assert "parse_duration" in context.text
    stages = [request.stage for request in model.requests]
    assert stages.count(Stage.SURVEY) >= 3
    assert stages.count(Stage.RANKING) == 1  # one prompt, three answers
    assert "ranking" in memory.kinds()


async def test_the_next_issue_pays_only_for_changed_files(tmp_path: Path) -> None:
    rules = [Rule(SUMMARY, stage=Stage.SURVEY), ranked("pkg/clock.py")]
    settings = GatherSettings(survey_tokens=100_000)
    _, first, _ = await gathered(many(), rules, tmp_path, settings=settings)
    assert sum(request.stage is Stage.SURVEY for request in first.requests) == 14
    _, second, _ = await gathered(many(), rules, tmp_path, settings=settings)
    assert sum(request.stage is Stage.SURVEY for request in second.requests) == 0
    files = many()
    files["pkg/module_05.py"] += "changed = 1\n"
    files["pkg/moved.py"] = files.pop("pkg/module_06.py")
    _, third, _ = await gathered(files, rules, tmp_path, settings=settings)
    assert [request.trajectory for request in third.requests if request.stage is Stage.SURVEY] == ["pkg/module_05.py"]
    _, other, _ = await gathered(many(), rules, tmp_path, profile=replace(SMALL, name="other"), settings=settings)
    assert sum(request.stage is Stage.SURVEY for request in other.requests) == 14


async def test_a_damaged_cache_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "survey.sqlite3").write_bytes(b"this is no database" * 100)
    rules = [Rule(SUMMARY, stage=Stage.SURVEY), ranked("pkg/clock.py")]
    context, _, _ = await gathered(many(), rules, tmp_path)
    assert context.paths[0] == "pkg/clock.py"


async def test_the_survey_budget_bounds_what_the_model_reads(tmp_path: Path) -> None:
    rules = [Rule(SUMMARY, stage=Stage.SURVEY), ranked("pkg/clock.py")]
    context, model, _ = await gathered(many(), rules, tmp_path, settings=GatherSettings(survey_tokens=300))
    described = [request.trajectory for request in model.requests if request.stage is Stage.SURVEY]
    assert described
    assert described[0] == "pkg/clock.py"  # best by words comes first
    assert len(described) < 5
    assert "by their outline" in context.note


async def test_what_other_tasks_left_in_the_cache_changes_nothing(tmp_path: Path) -> None:
    """Known summaries were no part of the budget: a run that was killed in its survey went on with another context."""
    rules = [Rule(SUMMARY, stage=Stage.SURVEY), ranked("pkg/clock.py")]
    few, more = GatherSettings(survey_tokens=300), GatherSettings(survey_tokens=100_000)
    alone, first, _ = await gathered(many(), rules, tmp_path / "empty", settings=few)
    await gathered(many(), rules, tmp_path / "full", settings=more)
    after, second, _ = await gathered(many(), rules, tmp_path / "full", settings=few)
    assert after == alone
    assert [request for request in second.requests if request.stage is Stage.SURVEY] == []
    rankings = [[r.key for r in model.requests if r.stage is Stage.RANKING] for model in (first, second)]
    assert rankings[0] == rankings[1]


async def test_a_bad_description_is_asked_for_once_more(tmp_path: Path) -> None:
    rules = [
        Rule("{", stage=Stage.SURVEY, turn=0),
        Rule(SUMMARY, stage=Stage.SURVEY, turn=1),
        ranked("pkg/clock.py"),
    ]
    _, model, memory = await gathered(many(), rules, tmp_path)
    assert {request.turn for request in model.requests if request.stage is Stage.SURVEY} == {0, 1}
    assert "survey_failed" not in memory.kinds()


async def test_a_file_longer_than_the_window_is_described_by_a_part_and_recorded(tmp_path: Path) -> None:
    files = many() | {"pkg/clock.py": "def parse_duration(text):\n    return 0\n" + "y = 1\n" * 30_000}
    rules = [Rule(SUMMARY, stage=Stage.SURVEY), ranked("pkg/clock.py")]
    context, model, memory = await gathered(files, rules, tmp_path)
    assert ("survey_shortened", "pkg/clock.py") in [(kind, detail.get("path")) for kind, detail in memory.notes]
    asked = [request for request in model.requests if request.trajectory == "pkg/clock.py"]
    assert "def parse_duration" in asked[0].messages[-1].content
    assert len(asked[0].messages[-1].content) < 8_000 * 4
    assert context.paths[0] == "pkg/clock.py"  # shown in part
    assert "in part" in context.note


async def test_unreadable_rankings_fall_back_to_the_order_by_words(tmp_path: Path) -> None:
    rules = [Rule(SUMMARY, stage=Stage.SURVEY), Rule("I cannot say.", stage=Stage.RANKING)]
    context, _, memory = await gathered(many(), rules, tmp_path)
    assert context.paths[0] == "pkg/clock.py"
    assert "order by the issue's words" in context.note
    assert "ranking_failed" in memory.kinds()


async def test_a_slow_model_only_makes_the_choice_poorer(tmp_path: Path) -> None:
    context, _, memory = await gathered(many(), [Rule(ModelTimeout("too slow"))], tmp_path)
    assert context.paths[0] == "pkg/clock.py"
    assert {"survey_failed", "ranking_failed"} <= set(memory.kinds())


async def test_a_vanished_model_is_raised_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="gone"):
        await gathered(many(), [Rule(ModelUnavailable("gone"))], tmp_path)


async def test_one_bad_ranking_of_three_is_dropped(tmp_path: Path) -> None:
    first, third = (json.dumps({"files": paths}) for paths in (["pkg/module_03.py", "pkg/clock.py"], ["pkg/clock.py"]))
    rules = [Rule(SUMMARY, stage=Stage.SURVEY), Rule(first, "no", third, stage=Stage.RANKING)]
    context, _, _ = await gathered(many(), rules, tmp_path)
    assert "2 rankings" in context.note
    assert context.paths[0] == "pkg/clock.py"


async def test_the_best_file_by_words_is_never_lost(tmp_path: Path) -> None:
    rules = [Rule(SUMMARY, stage=Stage.SURVEY), ranked("pkg/module_03.py", "pkg/module_04.py", "pkg/module_05.py")]
    context, _, _ = await gathered(many(count=60, size=160), rules, tmp_path, profile=FAST)
    assert context.paths[:4] == ("pkg/module_03.py", "pkg/module_04.py", "pkg/clock.py", "pkg/module_05.py")


async def test_on_a_slow_machine_the_order_by_words_votes_with_the_model(tmp_path: Path) -> None:
    rules = [Rule(SUMMARY, stage=Stage.SURVEY), ranked("pkg/module_03.py", "pkg/module_04.py", "pkg/module_05.py")]
    context, _, _ = await gathered(many(), rules, tmp_path)
    # first by words and unnamed by the model, against first by the model and unnamed by words: a tie, by path
    assert context.paths[:2] == ("pkg/clock.py", "pkg/module_03.py")


async def test_rankings_of_another_issue_are_drawn_with_luck_of_their_own(tmp_path: Path) -> None:
    rules = [Rule(SUMMARY, stage=Stage.SURVEY), ranked("pkg/clock.py")]
    tasks = (TASK, TASK, replace(TASK, issue="`parse_duration` fails on a blank."))
    asked = [(await gathered(many(), rules, tmp_path, task=task))[1].requests for task in tasks]
    seeds = [[r.sampling.seed for r in requests if r.stage is Stage.RANKING] for requests in asked]
    assert seeds[0] == seeds[1]
    assert seeds[0]
    assert not set(seeds[0]) & set(seeds[2])


async def test_a_fast_server_ranks_in_different_orders(tmp_path: Path) -> None:
    seen: list[str] = []

    def answer(request: Request) -> str:
        seen.append(request.messages[-1].content)
        return json.dumps({"files": ["pkg/clock.py"]})

    files = many(count=60, size=160)
    rules = [Rule(SUMMARY, stage=Stage.SURVEY), Rule(answer, stage=Stage.RANKING)]
    await gathered(files, rules, tmp_path, profile=FAST)
    assert len(seen) == 3
    assert len(set(seen)) == 3
    entries = [sorted(line for line in prompt.splitlines() if line.startswith("- ")) for prompt in seen]
    assert entries[0] == entries[1] == entries[2]


async def test_entries_that_exceed_the_window_are_judged_in_chunks(tmp_path: Path) -> None:
    names: list[str] = []

    def answer(request: Request) -> str:
        names.append(request.trajectory)
        shown = request.messages[-1].content
        return json.dumps({"files": [path for path in ("pkg/clock.py", "pkg/module_07.py") if f"- {path}:" in shown]})

    profile = replace(SMALL, context_tokens=600)
    rules = [Rule(SUMMARY, stage=Stage.SURVEY), Rule(answer, stage=Stage.RANKING)]
    context, _, _ = await gathered(many(count=30), rules, tmp_path, profile=profile)
    assert len([name for name in names if name.startswith("relevance-")]) > 1
    assert names[-1] == "ranking"
    assert set(context.paths[:2]) == {"pkg/clock.py", "pkg/module_07.py"}


async def test_the_same_task_asks_the_same_questions(tmp_path: Path) -> None:
    rules = [Rule(SUMMARY, stage=Stage.SURVEY), ranked("pkg/clock.py")]
    keys: list[list[str]] = []
    for number in range(2):
        _, model, _ = await gathered(many(), rules, tmp_path / str(number), profile=FAST)
        keys.append(sorted(request.key for request in model.requests))
    assert keys[0] == keys[1]


@pytest.mark.parametrize(
    "text",
    [
        '{"summary": "Parses a duration."}',
        '```json\n{"summary": "Parses a duration."}\n```',
        "Some thoughts first.\nSUMMARY: Parses a duration.",
        "**Summary:** Parses a\nduration.",
        "## Summary\n**Summary**: Parses a duration.",
        "Parses a duration.",
        '{"summary": "Parses a duration.',
        '{"path": "a.py", "summary": "Parses a\\nduration."}',
    ],
)
def test_summaries_are_read_in_every_dress(text: str) -> None:
    assert read_summary(text) == "Parses a duration."


@pytest.mark.parametrize("text", ["", "{", "[]", '{"other": 1}', "ok", "SUMMARY:"])
def test_what_is_no_summary_is_none(text: str) -> None:
    assert read_summary(text) is None


@given(st.text(max_size=300))
def test_reading_a_summary_never_fails(text: str) -> None:
    found = read_summary(text)
    assert found is None or ("\n" not in found and 0 < len(found) <= 800)
    wrapped = read_summary(json.dumps({"summary": f"It says {text} in the end"}))
    assert wrapped is not None
    assert wrapped.startswith("It says")
