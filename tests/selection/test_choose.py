"""The whole of selection, with an in-memory sandbox and a scripted model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from agent.errors import ModelUnavailable
from agent.model.scripted import SCRIPTED, Rule, ScriptedModel
from agent.trajectory import Candidate, TestScript
from sandbox.base import UNEDITED, Sandbox, Tree
from selection.base import ClassId, Comparison, PatchClass, Selection
from selection.choose import RULES, SelectionSettings, after_comparison, choose, decisive
from selection.vote import standings
from selection.weights import script_weights
from tests.selection.fakes import (
    BAD,
    MODULE,
    FakeSandbox,
    ListRecorder,
    candidate,
    context,
    make_script,
    patch_to,
    task,
)
from tests.selection.test_comparison import PRINT, letter_of
from tests.selection.test_weights import table

STRONG = replace(SCRIPTED, script_style="exit_codes")
WANTS_1, WANTS_2 = "assert x == 1", "assert x == 2"


pytestmark = pytest.mark.usefixtures("classes_by_text")


async def chosen(
    fake: FakeSandbox,
    candidates: Sequence[Candidate],
    scripts: Sequence[TestScript] = (),
    model: ScriptedModel | None = None,
    settings: SelectionSettings | None = None,
    recorder: ListRecorder | None = None,
) -> Selection:
    return await choose(
        task(),
        context(fake.files),
        candidates,
        scripts,
        fake,
        model or ScriptedModel([Rule(PRINT, turn=0), Rule("A")]),
        settings or SelectionSettings(),
        recorder or ListRecorder(),
    )


async def test_without_a_script_nobody_agrees(fake: FakeSandbox) -> None:
    """Classes that no script tells apart, because there is none, were taken for candidates that agree: 0.45."""
    different = [candidate(str(value), patch_to(value), passes=False) for value in range(1, 5)]
    alike = [candidate(str(number), patch_to(1), passes=False) for number in range(4)]
    settings = SelectionSettings(comparison_turns=0, regression_seconds=0)
    apart = await chosen(fake, different, settings=settings)
    together = await chosen(fake, alike, settings=settings)
    assert "No test script that shows the issue was written" in apart.reasons[0]
    assert apart.confidence < 0.35
    assert together.confidence > apart.confidence + 0.1


async def test_the_votes_choose(fake: FakeSandbox) -> None:
    candidates = [candidate("0", patch_to(2)), candidate("1", patch_to(1)), candidate("2", patch_to(3))]
    done = await chosen(fake, candidates, [make_script("a", WANTS_1), make_script("b", "assert 0 < x < 2")])
    assert (done.winner, done.patch) == ("candidate-1", patch_to(1))
    assert done.ranking == ("c2", "c1", "c3")
    assert done.votes == {"c1": 0.0, "c2": 1.0, "c3": 0.0}
    assert done.weights == {"script-a": 1.0, "script-b": 1.0}
    assert done.comparison is None
    assert done.confidence > 0.7
    assert done.reasons == (
        "100 % of the votes are for it, by 2 test scripts of others; the next class reaches 0 %.",
        "One of 3 candidates made this patch.",
        "The repository has no tests that could be found.",
    )


async def test_no_candidates_is_a_selection_without_a_winner(fake: FakeSandbox) -> None:
    done = await chosen(fake, [], [make_script("a", WANTS_1)])
    assert (done.winner, done.patch, done.confidence) == (None, UNEDITED, 0.0)
    assert done.reasons == ("No trajectory made a patch that applies.",)
    assert fake.runs == []


async def test_empty_patches_are_no_candidates(fake: FakeSandbox) -> None:
    done = await chosen(fake, [candidate("0", UNEDITED)])
    assert (done.winner, done.reasons) == (None, ("Every patch was empty.",))
    done = await chosen(fake, [candidate("0", UNEDITED), candidate("1", patch_to(1))])
    assert done.winner == "candidate-1"


async def test_one_class_needs_no_comparison(fake: FakeSandbox) -> None:
    model = ScriptedModel([])
    done = await chosen(fake, [candidate(str(n), patch_to(1)) for n in range(4)], [make_script("a", WANTS_1)], model)
    assert (done.winner, done.comparison, model.requests) == ("candidate-0", None, [])
    assert "All 4 candidates are the same patch up to formatting and comments." in done.reasons


async def test_a_single_candidate_is_less_sure_than_four_equal_ones(fake: FakeSandbox) -> None:
    alone = await chosen(fake, [candidate("0", patch_to(1))])
    four = await chosen(fake, [candidate(str(n), patch_to(1)) for n in range(4)])
    assert alone.confidence < four.confidence
    assert "There was only one candidate to choose from." in alone.reasons


async def test_a_patch_that_does_not_apply_is_ruled_out_and_harms_nobody(fake: FakeSandbox) -> None:
    candidates = [candidate("0", BAD), candidate("1", BAD), candidate("2", patch_to(1))]
    done = await chosen(fake, candidates, [make_script("a", WANTS_1)])
    assert done.winner == "candidate-2"
    assert done.vetoed == {"c1": "its patch does not apply: corrupt patch at line 1"}
    assert done.ranking == ("c2",)


async def test_nothing_applies(fake: FakeSandbox) -> None:
    done = await chosen(fake, [candidate("0", BAD)], [make_script("a", WANTS_1)])
    assert (done.winner, done.reasons) == (
        None,
        ("No candidate's patch applies and changes more than formatting or comments.",),
    )
    assert done.vetoed


async def test_regressions_veto_the_leader_of_the_votes(fake: FakeSandbox) -> None:
    fake.files["tests/test_m.py"] = b"import m\n"  # type: ignore[index]
    fake.suite = lambda files, run: {"t::small": b"2" not in files[MODULE], "t::always": True}
    candidates = [candidate("0", patch_to(2)), candidate("1", patch_to(1))]
    done = await chosen(fake, candidates, [make_script("a", WANTS_2), make_script("b", "assert x > 1")])
    assert (done.winner, done.ranking) == ("candidate-1", ("c2",))
    assert done.vetoed == {"c1": "it breaks 1 of the tests that passed before: t::small"}
    assert "It breaks none of the repository's own tests (2 of them passed before)." in done.reasons
    assert done.reasons[-1] == "Class c1 was ruled out: it breaks 1 of the tests that passed before: t::small."


async def test_where_all_break_tests_nobody_is_vetoed_and_the_confidence_falls(fake: FakeSandbox) -> None:
    candidates = [candidate("0", patch_to(2)), candidate("1", patch_to(1))]
    scripts = [make_script("a", WANTS_1), make_script("b", "assert x < 2 and x")]
    before = await chosen(fake, candidates, scripts)
    fake.files["tests/test_m.py"] = b"import m\n"  # type: ignore[index]
    fake.suite = lambda files, run: {"t::zero": b"0" in files[MODULE]}
    done = await chosen(fake, candidates, scripts)
    assert (done.winner, done.vetoed) == ("candidate-1", {})
    assert done.confidence < before.confidence
    assert any("those that break the fewest (1) stay" in reason for reason in done.reasons)


async def test_regressions_can_be_left_out(fake: FakeSandbox) -> None:
    fake.files["tests/test_m.py"] = b"import m\n"  # type: ignore[index]
    done = await chosen(fake, [candidate("0", patch_to(1))], settings=SelectionSettings(regression_seconds=0))
    assert done.regressions.note == "The repository's tests were left out."


async def test_a_comparison_decides_where_every_script_rejects_every_class(fake: FakeSandbox) -> None:
    candidates = [candidate("0", patch_to(2)), candidate("1", patch_to(1))]
    model = ScriptedModel([Rule(PRINT, turn=0), Rule(letter_of(1))])
    done = await chosen(fake, candidates, [make_script("a", "assert x == 9")], model)
    assert done.comparison is not None
    assert (done.winner, done.comparison.choice, done.ranking) == ("candidate-1", "c2", ("c2", "c1"))
    assert done.reasons[0] == (
        "A comparison of the best candidates chose it twice, in different orders, after 2 executed scripts, "
        "where the votes left it open."
    )


async def test_a_comparison_that_disagrees_with_itself_leaves_the_votes_and_lowers_the_confidence(
    fake: FakeSandbox,
) -> None:
    candidates = [candidate("0", patch_to(2)), candidate("1", patch_to(1))]
    scripts = [make_script("a", "assert x == 9")]
    first = await chosen(fake, candidates, scripts, ScriptedModel([Rule(PRINT, turn=0), Rule("A")]))
    agreed = await chosen(fake, candidates, scripts, ScriptedModel([Rule(PRINT, turn=0), Rule(letter_of(2))]))
    without = await chosen(fake, candidates, scripts, settings=SelectionSettings(comparison_turns=0))
    assert [done.winner for done in (first, agreed, without)] == ["candidate-0"] * 3
    assert first.confidence < without.confidence < agreed.confidence
    assert any("did not agree with itself" in reason for reason in first.reasons)


async def test_a_profile_without_a_comparison_says_so_where_the_votes_are_close(fake: FakeSandbox) -> None:
    candidates = [candidate("0", patch_to(2)), candidate("1", patch_to(1))]
    scripts = [make_script("a", "assert x == 9")]
    rules = [Rule(PRINT, turn=0), Rule(letter_of(2))]
    small = replace(SCRIPTED, comparison_turns=0)
    without = await chosen(fake, candidates, scripts, ScriptedModel(rules, small))
    asked = await chosen(fake, candidates, scripts, ScriptedModel(rules, small), SelectionSettings(comparison_turns=4))
    assert without.comparison is None
    assert any("no comparison was held" in reason for reason in without.reasons)
    assert asked.comparison is not None
    assert not any("no comparison was held" in reason for reason in asked.reasons)


async def test_a_model_that_is_gone_leaves_the_votes(fake: FakeSandbox) -> None:
    candidates = [candidate("0", patch_to(2)), candidate("1", patch_to(1))]
    model = ScriptedModel([Rule(ModelUnavailable("the server is gone"))])
    done = await chosen(fake, candidates, [make_script("a", "assert x == 9")], model)
    assert done.winner == "candidate-0"
    assert any("found nothing to choose by" in reason for reason in done.reasons)


async def test_only_the_shortlist_is_compared(fake: FakeSandbox) -> None:
    candidates = [candidate(str(value), patch_to(value)) for value in (5, 4, 3, 2, 1)]
    done = await chosen(fake, candidates, [make_script("a", "assert x == 9")])
    assert done.shortlist == ("c1", "c2", "c3")
    assert done.comparison is not None
    assert sorted(done.comparison.passes[0].order) == ["c1", "c2", "c3"]


@pytest.mark.parametrize("style", ["asserts", "exit_codes"])
def test_a_comparison_never_overrules_a_clear_vote(style) -> None:
    made = table("PF", "PF", "PF", "FP")
    ranked = standings(made, script_weights(made), {})
    against = Comparison((), ClassId("c1"))
    assert [s.id for s in after_comparison(ranked, against, RULES[style])] == ["c0", "c1"]


def test_a_small_model_overrules_no_vote_at_all_and_a_strong_one_a_narrow_one() -> None:
    made = table("PF", "PF", "PF", "FP", "FP")
    ranked = standings(made, script_weights(made), {})
    against = Comparison((), ClassId("c1"))
    assert [standing.votes for standing in ranked] == [0.6, 0.4]
    assert after_comparison(ranked, against, RULES["asserts"])[0].id == "c0"
    assert after_comparison(ranked, against, RULES["exit_codes"])[0].id == "c1"


@pytest.mark.parametrize(
    ("rows", "small", "strong"),
    [
        (("PF", "PF"), True, True),  # a clear vote
        (("PF", "FP"), False, False),  # a tie
        (("FF", "FF"), False, False),  # every script rejects both
        (("PPF", "PPF"), True, False),  # twins lead: a strong model may tell them apart
        (("P",), True, True),  # one class
    ],
)
def test_when_the_votes_decide_alone(rows: tuple[str, ...], small: bool, strong: bool) -> None:
    made = table(*rows)
    ranked = standings(made, script_weights(made), {})
    assert decisive(ranked, RULES["asserts"]) is small
    assert decisive(ranked, RULES["exit_codes"]) is strong


async def test_the_same_transcript_gives_the_same_selection(fake: FakeSandbox) -> None:
    candidates = [candidate(str(value), patch_to(value)) for value in (3, 2, 1)]
    scripts = [make_script("a", "assert x == 9"), make_script("b", "assert x < 3")]

    async def once(parallel: int) -> Selection:
        return await chosen(fake, candidates, scripts, settings=SelectionSettings(parallel=parallel))

    assert await once(1) == await once(2) == await once(7)


async def test_the_patch_that_ran_is_the_patch_that_is_handed_over(fake: FakeSandbox) -> None:
    script = make_script("0", WANTS_2, author="0")
    members = [candidate("0", patch_to(1), script, passes=False), candidate("1", patch_to(1))]
    done = await chosen(fake, members, [script])
    assert done.patch == patch_to(1)
    assert done.winner == "candidate-0"
    assert "It does not pass the test script it was written with." in done.reasons


async def test_candidates_in_no_class_are_told(fake: FakeSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    async def first_only(candidates: Sequence[Candidate], sandbox: Sandbox, tree: Tree) -> tuple[PatchClass, ...]:
        return (PatchClass(ClassId("c1"), candidates[0].patch, (candidates[0],)),)

    monkeypatch.setattr("selection.voted.classes_of", first_only)
    done = await chosen(fake, [candidate("0", patch_to(1)), candidate("1", patch_to(0))])
    assert done.reasons[-1] == "One candidate had a patch that does not apply or changes nothing but formatting."


async def test_no_class_at_all_is_a_selection_without_a_winner(
    fake: FakeSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def none(candidates: Sequence[Candidate], sandbox: Sandbox, tree: Tree) -> tuple[PatchClass, ...]:
        return ()

    monkeypatch.setattr("selection.voted.classes_of", none)
    assert (await chosen(fake, [candidate("0", patch_to(0))])).winner is None
