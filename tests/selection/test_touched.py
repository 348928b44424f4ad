from __future__ import annotations

from sandbox.base import Patch, RepoPath
from selection.touched import FunctionId, functions_of, lines_to_call, touched_functions

M = RepoPath("m.py")
SOURCE = """\
X = 1


def one():
    return 1


class A:
    def two(self):
        def inner():
            return 2

        return inner()


if X:

    def three():
        return 3
"""
HEAD = "diff --git a/{0} b/{0}\n--- a/{0}\n+++ b/{0}\n"


def patch(path: str, line: int, old: str, new: str) -> Patch:
    return Patch(f"{HEAD.format(path)}@@ -{line} +{line} @@\n-{old}\n+{new}\n")


def touched(*patches: Patch, path: str = "m.py") -> tuple[FunctionId, ...]:
    return touched_functions(patches, {RepoPath(path): SOURCE.encode()})


def test_functions_and_methods_are_found_inner_ones_belong_to_theirs() -> None:
    assert list(functions_of(SOURCE.encode())) == ["one", "A.two", "three"]


def test_what_differs_is_touched_once() -> None:
    inner = patch("m.py", 11, "            return 2", "            return 3")
    assert touched(inner, inner) == (FunctionId(M, "A.two"),)
    assert touched(patch("m.py", 5, "    return 1", "    return 2"), inner) == (
        FunctionId(M, "one"),
        FunctionId(M, "A.two"),
    )


def test_lines_outside_of_functions_touch_none() -> None:
    assert touched(patch("m.py", 1, "X = 1", "X = 2")) == ()


def test_a_removed_function_is_touched_and_a_new_one_is_not() -> None:
    renamed = patch("m.py", 4, "def one():", "def other():")
    assert touched(renamed) == (FunctionId(M, "one"),)


def test_tests_other_files_and_what_does_not_apply_touch_none() -> None:
    assert touched(patch("test_m.py", 5, "    return 1", "    return 2"), path="test_m.py") == ()
    assert touched(patch("m.txt", 5, "    return 1", "    return 2"), path="m.txt") == ()
    assert touched(patch("m.py", 5, "    return 9", "    return 2"), Patch("nonsense"), Patch("")) == ()


def numbered(*patches: Patch, path: str = "m.py") -> list[tuple[int, int]]:
    return [(one.first, one.last) for one in lines_to_call(patches, {RepoPath(path): SOURCE.encode()})]


ONE, TWO, THREE = (4, 5), (9, 13), (18, 19)


def test_a_test_has_to_call_what_is_touched() -> None:
    assert numbered(patch("m.py", 5, "    return 1", "    return 7")) == [ONE]
    assert numbered(patch("m.py", 11, "            return 2", "            return 7")) == [TWO]
    assert numbered(patch("m.py", 5, "    return 1", "    return 7"), patch("m.py", 19, "        return 3", "")) == [
        ONE,
        THREE,
    ]


def test_a_change_outside_functions_concerns_all_of_the_file() -> None:
    assert numbered(patch("m.py", 1, "X = 1", "X = 2")) == [ONE, TWO, THREE]
    assert numbered(patch("m.py", 1, "X = 1", "X = 1\n+# why\n+import os").replace("+1 @@", "+1,3 @@")) == []  # type: ignore[arg-type]


def test_a_new_method_may_replace_an_inherited_one() -> None:
    more = patch("m.py", 8, "class A:", "class A:\n+    def __eq__(self, other):\n+        return True\n+")
    assert numbered(Patch(more.replace("+8 @@", "+8,4 @@"))) == [TWO]


def test_where_calls_do_not_tell_nothing_is_concerned() -> None:
    change = patch("m.py", 5, "    return 1", "    return 7")
    assert numbered(change, patch("data.json", 1, "X = 1", "X = 2")) == []
    assert lines_to_call([patch("data.json", 1, "1", "2")], {RepoPath("data.json"): b"1\n"}) == ()
    assert lines_to_call([patch("m.py", 1, "X = 1", "X = 2")], {M: b"X = 1\n"}) == ()
    tree = {M: SOURCE.encode(), RepoPath("NEWS.md"): b"old\n", RepoPath("tests/test_m.py"): b"old\n"}
    beside = [patch("NEWS.md", 1, "old", "new"), patch("tests/test_m.py", 1, "old", "new")]
    assert [one.first for one in lines_to_call([change, *beside], tree)] == [4]
