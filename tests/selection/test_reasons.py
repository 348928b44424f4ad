from dataclasses import replace

import pytest

from agent.trajectory import Candidate
from selection.base import ClassId, Comparison, ComparisonPass, ComparisonRound, Regressions
from selection.reasons import explain
from selection.vote import Standing
from tests.selection.fakes import candidate, patch_class, patch_to

NO_TESTS = Regressions("", (), (), {}, "The repository has no tests that could be found.")
BEST = patch_class("c1", patch_to(1), members=2)


def standing(name: str, votes: float, voters: int = 3, alike: int = 2, size: int = 2) -> Standing:
    return Standing(ClassId(name), votes, voters, alike, ClassId(name), size)


def held(first: str | None, second: str | None, rounds: int = 1) -> Comparison:
    made = tuple(ComparisonRound("print(1)", {}) for _ in range(rounds))
    passes = tuple(ComparisonPass((), made, ClassId(choice) if choice else None, "") for choice in (first, second))
    return Comparison(passes, ClassId(first) if first and first == second else None)


def said(
    *order: Standing,
    found: Regressions = NO_TESTS,
    fallback: str = "",
    comparison: Comparison | None = None,
    vetoed: dict[ClassId, str] | None = None,
    winner: Candidate | None = None,
    candidates: int = 4,
    moved: bool = False,
    scripts: int = 4,
    examples: tuple[int, int] = (0, 0),
) -> tuple[str, ...]:
    made = winner or candidate("0", patch_to(1))
    return explain(
        BEST,
        order,
        found,
        fallback,
        comparison,
        vetoed or {},
        made,
        candidates,
        scripts=scripts,
        examples=examples,
        moved=moved,
    )


def test_every_reason_is_a_sentence() -> None:
    bad = {ClassId("c9"): "it is bad"}
    every = (
        *said(standing("c1", 0.9), standing("c2", 0.2)),
        *said(standing("c1", 1.0, 1)),
        *said(standing("c1", 0.0, 0), standing("c2", 0.0, 0), comparison=held("c1", None)),
        *said(
            standing("c1", 0.5), standing("c2", 0.4), comparison=held("c2", "c2"), vetoed={ClassId("c9"): "it is bad"}
        ),
        *said(standing("c1", 0.0, 0), vetoed={ClassId("c8"): "so is it", **bad}),
        *said(standing("c1", 0.9), winner=candidate("0", patch_to(1), passes=False)),
    )
    for sentence in every:
        assert sentence[0].isupper() or sentence[0].isdigit(), sentence
        assert sentence.endswith("."), sentence
        assert "  " not in sentence


def test_votes_are_told_as_shares() -> None:
    assert said(standing("c1", 2 / 3), standing("c2", 0.25))[0] == (
        "67 % of the votes are for it, by 3 test scripts of others; the next class reaches 25 %."
    )
    assert said(standing("c1", 1.0, 1))[0] == "The one test script with a say in it passes on it."
    assert said(standing("c1", 0.0, 1))[0] == "The one test script with a say in it does not pass on it."


def test_votes_that_decide_nothing_are_told_so() -> None:
    undecided = said(standing("c1", 0, 0), standing("c2", 0, 0))
    assert "No test script told the candidates of other trajectories apart" in undecided[0]


def test_a_run_without_a_valid_script_is_told_so() -> None:
    """Of requests-1963: no script was valid, and the report said that it did not pass the one it was written with."""
    made = replace(candidate("0", patch_to(1), passes=False), script=None)
    told = said(standing("c1", 0.5, 0, alike=3), standing("c2", 0.5, 0, alike=3), winner=made, scripts=0)
    assert told[0] == "No test script that shows the issue was written, so there were no votes."
    assert told[1] == "Two of 4 candidates made this patch."
    assert not any("was written with" in sentence for sentence in told)


def test_candidates_alike_are_counted() -> None:
    assert said(standing("c1", 1.0, alike=2))[1] == "Two of 4 candidates made this patch."
    assert said(standing("c1", 1.0, alike=3))[1] == (
        "Two of 4 candidates made this patch, and one more cannot be told from it by any test script."
    )


def test_broken_tests_are_told_with_the_fallback() -> None:
    found = Regressions("pytest", ("a", "b"), (), {ClassId("c1"): ("a",)})
    told = said(standing("c1", 1.0), found=found, fallback="All do.")
    assert "It breaks 1 of the repository's 2 tests that passed before. All do." in told


def test_what_the_comparison_did_is_told() -> None:
    first, second = standing("c1", 0.5), standing("c2", 0.5)
    assert said(first, second, comparison=held("c1", "c1"), moved=True)[0].endswith("where the votes left it open.")
    ahead = standing("c2", 0.6)
    assert said(first, ahead, comparison=held("c1", "c1"), moved=True)[0].endswith("against a narrow lead in votes.")
    fives = ComparisonPass((), (), ClassId("c1"), "")
    five = Comparison((*(fives,) * 4, replace(fives, choice=None)), ClassId("c1"))
    for comparison, words in (
        (five, "chose it in 4 of 5 passes, in changing orders, after 0"),
        (held("c1", "c1"), "chose it twice"),
        (held("c2", "c2"), "the votes are too clear"),
        (held(None, None, 0), "found nothing to choose by (after 0 executed scripts)"),
        (held("c1", "c2"), "did not agree with itself"),
    ):
        assert any(words in sentence for sentence in said(first, second, comparison=comparison)), words


def test_candidates_left_out_are_counted() -> None:
    made = candidate("0", patch_to(1))
    told = explain(BEST, [standing("c1", 1.0)], NO_TESTS, "", None, {}, made, 4, scripts=1, left_out=2, moved=False)
    assert told[-1] == "Two candidates had patches that do not apply or change nothing but formatting."


@pytest.mark.parametrize(
    ("examples", "sentence"),
    [
        ((1, 1), "It passes the example of the issue."),
        ((0, 1), "It does not pass the example of the issue."),
        ((2, 2), "It passes both examples of the issue."),
        ((5, 5), "It passes all 5 examples of the issue."),
        ((2, 3), "It passes 2 of the 3 examples of the issue."),
        ((0, 3), "It passes none of the 3 examples of the issue."),
    ],
)
def test_the_issues_examples(examples: tuple[int, int], sentence: str) -> None:
    assert sentence in said(standing("c1", 0.9), examples=examples)
    assert not any("example" in other for other in said(standing("c1", 0.9)))


def test_probes_are_told_with_who_agrees() -> None:
    def told(probes: int, agreement: dict[ClassId, float]) -> list[str]:
        order = [standing("c1", 1.0), standing("c2", 1.0)]
        made = candidate("0", patch_to(1))
        every = explain(
            BEST, order, NO_TESTS, "", None, {}, made, 4, scripts=4, moved=False, probes=probes, agreement=agreement
        )
        return [sentence for sentence in every if "other arguments" in sentence]

    c1, c2, c3 = (ClassId(name) for name in ("c1", "c2", "c3"))
    assert told(3, {c1: 0.75, c2: 0.25, c3: 0.1}) == [
        "3 calls with other arguments give different outputs where the test scripts leave it open: 75 % of the "
        "candidates in question agree with this one, 25 % with the next class."
    ]
    assert told(1, {c1: 0.5, c2: 0.5})[0].startswith("One call with other arguments gives different outputs")
    assert told(0, {}) == []
    assert told(3, {c2: 0.5, c3: 0.5}) == []
