from dataclasses import replace

import pytest

from selection.confidence import Signals, confidence

SURE = Signals(votes=1.0, voters=4, margin=1.0, share=0.75, own_script=True, example=True, broken=False, agreed=None)


def test_a_clear_vote_is_surer_than_anything_less() -> None:
    assert confidence(SURE) > 0.9
    for less in (
        replace(SURE, votes=0.5),
        replace(SURE, margin=0.2),
        replace(SURE, share=0.25),
        replace(SURE, voters=0),
        replace(SURE, own_script=False),
        replace(SURE, example=None),
        replace(SURE, example=False),
        replace(SURE, broken=True),
        replace(SURE, agreed=False),
    ):
        assert confidence(less) < confidence(SURE)


def test_agreement_of_the_comparison_raises_it_and_disagreement_lowers_it() -> None:
    open_ = replace(SURE, votes=0.4, margin=0.0)
    assert confidence(replace(open_, agreed=False)) < confidence(open_) < confidence(replace(open_, agreed=True))


def test_where_every_script_rejects_the_winner_it_is_low() -> None:
    assert confidence(Signals(0.0, 0, 1.0, 0.5, own_script=False, example=None, broken=False, agreed=None)) < 0.3


@pytest.mark.parametrize("votes", [0.0, 1.0])
def test_it_is_a_probability(votes: float) -> None:
    assert 0 < confidence(replace(SURE, votes=votes)) < 1
