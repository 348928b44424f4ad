"""Lines that patches share, and what breaks ties."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from selection.base import ClassId
from selection.lines import changed_lines, lines_decide, repeated, tie_break

A, B, C = (ClassId(name) for name in "abc")


def diff(*lines: str, path: str = "m.py") -> str:
    return "\n".join([f"--- a/{path}", f"+++ b/{path}", "@@ -1 +1 @@", " same", *lines, ""])


def test_lines_count_by_file_and_sign_up_to_white_space() -> None:
    assert changed_lines(diff("-x = 1", "+x  =  2", "+")) == {"m.py\n-x = 1", "m.py\n+x = 2"}
    assert not changed_lines(diff("+x = 1")) & changed_lines(diff("+x = 1", path="n.py"))
    assert not changed_lines("")


def test_a_line_counts_by_how_many_others_have_it() -> None:
    both = changed_lines(diff("-x = 1", "+x = 2"))
    assert repeated([both, both, changed_lines(diff("-x = 1", "+x = 3"))]) == [0.75, 0.75, 0.5]
    assert repeated([both]) == [0.0]
    assert repeated([]) == []


def test_what_others_change_too_comes_first() -> None:
    lone, common, other = diff("+y = 1"), diff("-x = 1", "+x = 2"), diff("-x = 1", "+x = 2", "+z = 3")
    ties = tie_break({A: [lone], B: [common], C: [other]}, shared=True)
    assert ties[B] < ties[C] < ties[A] == 0
    assert tie_break({A: [lone], C: [other]}, shared=False) == {A: len(lone), C: len(other)}


def test_lines_decide_among_several_sources_without_votes() -> None:
    assert lines_decide(["a", "b", "a"], voted=False)
    assert not lines_decide(["a", "b"], voted=True)
    assert not lines_decide(["", ""], voted=False)


@given(st.lists(st.frozensets(st.sampled_from("abcdef")), max_size=6))
def test_shares_are_shares(lines: list[frozenset[str]]) -> None:
    found = repeated(lines)
    assert len(found) == len(lines)
    assert all(0 <= share <= 1 for share in found)
