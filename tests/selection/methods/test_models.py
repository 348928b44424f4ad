from selection.base import ClassId
from selection.methods import METHODS, Choice
from selection.pool import PoolJudgement, PoolTask
from tests.selection.pools import task, whole


def judged(made: PoolTask, **chances: float) -> PoolTask:
    """`ab=0.9`: shown first, a is the better with 0.9."""
    return made.model_copy(
        update={
            "judgements": tuple(
                PoolJudgement(first=ClassId(pair[0]), second=ClassId(pair[1]), probability=chance)
                for pair, chance in chances.items()
            )
        }
    )


def choice(name: str, made: PoolTask) -> Choice:
    return METHODS[name](whole(made))


def test_both_orders_count_alike() -> None:
    # Who is shown first is preferred: no more than a draw.
    assert choice("tournament", judged(task("ab", ""), ab=0.9, ba=0.9)) == {"a": 0.5, "b": 0.5}
    assert choice("tournament", judged(task("ab", ""), ab=0.9, ba=0.6)) == {"a": 1.0}


def test_a_tournament_counts_wins_and_a_preference_the_mean_chance() -> None:
    made = judged(task("abc", ""), ab=0.6, ac=0.6, bc=1.0)
    assert choice("tournament", made) == {"a": 1.0}
    assert choice("codemonkeys-model", made) == {"b": 1.0}


def test_only_the_three_with_most_votes_are_shown_to_the_model() -> None:
    made = task("abcd", "", "PPPF", patches=["w", "x", "y", "z"])
    made = judged(made, da=1.0, db=1.0, dc=1.0, ca=0.9, cb=0.9, ab=0.5)
    assert choice("codemonkeys-model", made) == {"d": 1.0}
    assert choice("codemonkeys-model-top3", made) == {"c": 1.0}


def test_trae_prunes_first() -> None:
    made = judged(task("abc", "", broken={ClassId("c"): 1}), ca=1.0, cb=1.0, ab=0.7)
    assert choice("trae", made) == {"a": 1.0}
