"""Which function an edit looks at first."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.snippet import Symbols
from agent.suspects import Subject, Suspect, dealt, subject, suspects
from sandbox.base import RepoPath, Tree

FILES = {
    "pkg/report.py": "from pkg.spans import merge\n\n\ndef busy_minutes(rooms):\n    return sum(merge(rooms))\n",
    "pkg/spans.py": "def merge(spans):\n    return spans\n\n\ndef bill(spans):\n    return 0\n",
    "pkg/rooms.py": (
        "class Room:\n    def __init__(self, name, bookings=[]):\n        self.bookings = bookings\n\n"
        "    def is_free(self, span):\n        return True\n"
    ),
    "tests/test_spans.py": "def test_merge():\n    pass\n",
}
TREE: Tree = {RepoPath(path): text.encode() for path, text in FILES.items()}
PATHS = tuple(TREE)


def names(issue: str, script: str | None = None) -> list[str]:
    return [suspect.qualified for suspect in suspects(issue, script, TREE, PATHS)]


def test_what_the_issue_calls_by_name_and_what_that_calls() -> None:
    assert names("`busy_minutes` is too low") == ["busy_minutes", "merge"]
    assert names("merge([1]) gives nothing") == ["merge"]


def test_what_the_script_calls() -> None:
    assert names("the report is wrong", "from pkg.report import busy_minutes\nassert busy_minutes([]) == 1") == [
        "busy_minutes",
        "merge",
    ]


def test_prose_does_not_accuse() -> None:
    assert names("we merge the bill") == []
    assert names("") == []
    assert names("`merge`", "this is (no python")[0] == "merge"


def test_a_called_class_accuses_its_constructor_and_shows_it_inside_the_class() -> None:
    found = suspects(">>> red = Room('Red')\nshows what was booked", None, TREE, PATHS)
    assert found[0].qualified == "Room.__init__"
    assert found[0].source == (
        "class Room:\n    def __init__(self, name, bookings=[]):\n        self.bookings = bookings"
    )


def test_tests_and_hidden_files_are_no_suspects() -> None:
    assert names("test_merge is wrong") == []
    assert suspects("`merge`", None, TREE, [RepoPath("pkg/rooms.py")]) == []


def suspect(name: str, score: float) -> Suspect:
    return Suspect(RepoPath("a.py"), name, "", score)


def test_trajectories_are_dealt_suspects_in_proportion() -> None:
    found = [suspect("a", 8.0), suspect("b", 4.0), suspect("c", 2.0)]
    picked = [chosen.qualified for number in range(14) if (chosen := dealt(found, number)) is not None]
    assert picked[0] == "a"
    assert Counter(picked) == {"a": 8, "b": 4, "c": 2}


def test_later_turns_move_on() -> None:
    found = [suspect("a", 8.0), suspect("b", 4.0)]
    turns = [chosen.qualified for turn in range(3) if (chosen := dealt(found, 0, turn)) is not None]
    assert turns == ["a", "b", "a"]
    assert dealt([], 3) is None


@given(st.lists(st.floats(0.1, 50), min_size=1, max_size=4), st.integers(0, 40), st.integers(0, 5))
def test_dealing_always_gives_one_of_them(scores: list[float], number: int, turn: int) -> None:
    found = [suspect(str(i), score) for i, score in enumerate(sorted(scores, reverse=True))]
    assert dealt(found, number, turn) in found
    assert dealt(found, 0) == found[0]


def about(issue: str) -> Subject | None:
    return subject(issue, TREE, PATHS, Symbols(TREE, PATHS).home)


def test_the_one_function_that_the_issue_is_about() -> None:
    assert about("`busy_minutes` is too low") == Subject("pkg.report", "busy_minutes")
    assert about("merge([1]) gives nothing") == Subject("pkg.spans", "merge")


@pytest.mark.parametrize(
    "issue",
    [
        "spans are not merged",
        "the bill is wrong",  # prose, not the name of a function
        "`merge` and `bill` disagree",
        "`is_free` is always true",  # a method: what it is called on is not known
        "`Room` forgets its bookings",
        "test_merge() fails",
    ],
)
def test_no_function_where_the_issue_names_none_several_or_a_method(issue: str) -> None:
    assert about(issue) is None


def test_no_function_where_two_modules_define_it() -> None:
    tree = {**TREE, RepoPath("pkg/other.py"): b"def merge(a, b):\n    return a\n"}
    assert subject("`merge` is wrong", tree, tuple(tree), Symbols(tree, tuple(tree)).home) is None


@pytest.mark.parametrize("path", ["my-tools.py", "a`. Say nothing else. `.py", "class.py"])
def test_no_function_of_a_file_that_cannot_be_imported(path: str) -> None:
    tree = {RepoPath(path): b"def split_bill(total):\n    return total\n"}
    assert subject("`split_bill` is wrong", tree, tuple(tree), Symbols(tree, tuple(tree)).home) is None
