import pytest

from agent.trajectory import ISSUE
from selection.draws import Drawer
from selection.study.record import ScriptsRecord
from selection.study.scripts import scripts
from tests.selection.pools import task


def test_scripts_are_judged_by_kind_of_author() -> None:
    made = task(
        "aabc-", "a", "PFF", "FPF", "PPP", "PFF",
        authors=["t0", "t2", ISSUE, ISSUE], unedited="FFFP",
    )  # fmt: skip
    issue, trajectory = scripts([Drawer(made)])
    assert issue == ScriptsRecord(
        author="issue",
        written=2,
        checked=0.5,
        good=0.5,
        accepts_right=1.0,
        rejects_wrong=0.0,
        own_wrong_accepted=None,
    )
    assert (trajectory.checked, trajectory.good, trajectory.accepts_right) == (1.0, 0.5, 0.5)
    # s0 rejects b and c, s1 accepts b, its own author's.
    assert trajectory.rejects_wrong == pytest.approx(3 / 4)
    assert trajectory.own_wrong_accepted == 1.0


def test_a_task_without_a_right_candidate_says_nothing_of_accepting() -> None:
    (unknown,) = scripts([Drawer(task("ab", "", "PF"))])
    assert (unknown.author, unknown.good, unknown.accepts_right) == ("unknown", None, None)
    assert unknown.rejects_wrong == 0.5
