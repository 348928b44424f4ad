"""Whole definitions out of fenced code: found, indented, merged; everything else in the file stays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.edit import Edited, EditResult, read_edit
from sandbox.base import RepoPath
from tests.agent.edit.helpers import edited, one, problem, python, symbol, tree_of

MOD = RepoPath("mod.py")

CLASSES = '''"""Doc."""
import os


class Stack(Base):
    """A stack."""

    limit = 10

    def __init__(self):
        self.items = []

    @property
    def top(self):
        return self.items[0]

    @top.setter
    def top(self, value):
        self.items[0] = value

    # How to pop.
    def pop(self):
        return self.items.pop(0)


class Queue:
    def __init__(self, size):
        self.size = size

    def pop(self):
        return self.size.popitem()
'''


def test_a_function_is_replaced_and_the_rest_stays() -> None:
    tree = one("import os\n\nX = 1\n\ndef f(x):\n    return x\n\n# end\nY = 2")
    assert edited(python("def f(x):\n    return x + 1"), tree) == (
        b"import os\n\nX = 1\n\ndef f(x):\n    return x + 1\n\n# end\nY = 2"
    )


def test_crlf_and_a_missing_final_newline_stay() -> None:
    tree = one(b"A = 1\r\ndef f(x):\r\n    y = x\r\n    return y")
    assert edited(python("def f(x):\n    y = x\n    z = 2\n    return y + z"), tree) == (
        b"A = 1\r\ndef f(x):\r\n    y = x\r\n    z = 2\r\n    return y + z"
    )


def test_mixed_newlines_stay_on_the_lines_that_stay() -> None:
    tree = one(b"def f(x):\r\n    a = 1\n    b = 2\r\n    return a\n")
    assert edited(python("def f(x):\n    a = 1\n    b = 2\n    return b"), tree) == (
        b"def f(x):\r\n    a = 1\n    b = 2\r\n    return b\n"
    )


def test_a_method_inside_its_class_is_merged() -> None:
    made = edited(python("class Stack:\n    def pop(self):\n        return self.items.pop()"), one(CLASSES))
    assert made.decode() == CLASSES.replace("self.items.pop(0)", "self.items.pop()")


def test_a_bare_method_with_a_unique_name_is_found_and_indented() -> None:
    tree = one(
        CLASSES.replace("def pop(self):\n        return self.size.popitem()", "def get(self):\n        return 1")
    )
    made = edited(python("def pop(self):\n    # last in, first out\n    return self.items.pop()"), tree)
    assert (
        b"    # How to pop.\n    def pop(self):\n        # last in, first out\n        return self.items.pop()\n"
        in made
    )


def test_a_bare_method_copied_with_its_indentation() -> None:
    made = edited(
        python("    def get(self):\n        return 2"), one("class A:\n    def get(self):\n        return 1\n")
    )
    assert made == b"class A:\n    def get(self):\n        return 2\n"


def test_a_bare_method_whose_header_alone_lost_its_indentation() -> None:
    tree = one("class A:\n    @old\n    def get(self):\n        return 1\n")
    made = edited(python("def get(self):\n        if 1:\n            return 2\n        return 3"), tree)
    assert made == b"class A:\n    @old\n    def get(self):\n        if 1:\n            return 2\n        return 3\n"


def test_a_bare_method_of_several_classes_is_ambiguous() -> None:
    tree = one("class A:\n    def m(self):\n        return 1\n\n\nclass B:\n    def m(self):\n        return 2\n")
    said = problem(python("def m(self):\n    return 3"), tree)
    assert "`A.m`" in said
    assert "`B.m`" in said
    assert "class" in said


def test_a_class_named_beside_the_block_decides() -> None:
    tree = one("class A:\n    def m(self):\n        return 1\n\n\nclass B:\n    def m(self):\n        return 2\n")
    for text in (
        python("def m(self):\n    return 3", "The bug is in `B.m`:"),
        python("# class B\ndef m(self):\n    return 3"),
    ):
        assert edited(text, tree) == tree[MOD].replace(b"return 2", b"return 3")


def test_the_class_of_its_neighbour_in_the_block_decides() -> None:
    tree = one(
        "class A:\n    def m(self):\n        return 1\n\n\n"
        "class B:\n    def m(self):\n        return 2\n\n    def n(self):\n        return 2\n"
    )
    made = edited(python("def m(self):\n    return 3\n\ndef n(self):\n    return 3"), tree)
    assert made == tree[MOD].replace(b"return 2", b"return 3")


def test_a_clear_likeness_decides() -> None:
    made = edited(python("def __init__(self, size):\n    self.size = size or 1"), one(CLASSES))
    assert made.decode() == CLASSES.replace("self.size = size", "self.size = size or 1")


def test_property_and_setter_are_told_apart() -> None:
    setter = "    @top.setter\n    def top(self, value):\n        self.items[-1] = value"
    both = "class Stack:\n    @property\n    def top(self):\n        return self.items[-1]\n\n" + setter
    made = edited(python(both), one(CLASSES)).decode()
    assert made == CLASSES.replace("items[0]", "items[-1]")
    alone = edited(python("class Stack:\n" + setter), one(CLASSES)).decode()
    assert alone == CLASSES.replace("items[0] =", "items[-1] =")
    bare = edited(
        python("class Stack:\n    def top(self, value):\n        self.items[-1] = value"), one(CLASSES)
    ).decode()
    assert bare == alone


def test_decorators_stay_when_the_model_leaves_them_out_and_change_when_it_writes_others() -> None:
    tree = one("@cache\n@log(1)\ndef f():\n    return 1\n")
    assert edited(python("def f():\n    return 2"), tree) == b"@cache\n@log(1)\ndef f():\n    return 2\n"
    assert edited(python("@cache\ndef f():\n    return 2"), tree) == b"@cache\ndef f():\n    return 2\n"


def test_tabs_in_the_file_are_kept_when_the_model_writes_spaces() -> None:
    tree = one("class A:\n\tdef m(self, x):\n\t\tif x:\n\t\t\treturn 1\n\t\treturn 2\n")
    made = edited(python("def m(self, x):\n    if not x:\n        return 1\n    return 2"), tree)
    assert made == b"class A:\n\tdef m(self, x):\n\t\tif not x:\n\t\t\treturn 1\n\t\treturn 2\n"


def test_spaces_in_the_file_are_kept_when_the_model_writes_tabs() -> None:
    made = edited(python("def f(x):\n\tif x:\n\t\treturn 2"), one("def f(x):\n  if x:\n    return 1\n"))
    assert made == b"def f(x):\n  if x:\n    return 2\n"


def test_text_in_a_long_string_is_data_and_is_not_indented() -> None:
    old = 'class A:\n    def m(self):\n        """Doc\n\n        more."""\n        return """\nleft\n  two\n"""\n'
    made = edited(
        python('def m(self):\n    """Doc\n\n    more."""\n    x = 1\n    return """\nleft\n  two\n"""'), one(old)
    )
    assert made.decode() == old.replace("        return", "        x = 1\n        return")


def test_new_helpers_go_beside_the_known_definition() -> None:
    tree = one("def f(x):\n    return x\n\n\ndef g():\n    return 1\n")
    made = edited(python("def early():\n    pass\n\ndef f(x):\n    return late(x)\n\ndef late(x):\n    return 2"), tree)
    assert made == (
        b"def early():\n    pass\n\n\ndef f(x):\n    return late(x)\n\n\ndef late(x):\n    return 2\n\n\n"
        b"def g():\n    return 1\n"
    )


def test_a_new_method_goes_into_the_class_after_its_neighbour() -> None:
    tree = one("class A:\n    def m(self):\n        return 1\n\n    def n(self):\n        return 2\n")
    code = "class A:\n    def m(self):\n        return self._h()\n\n    def _h(self):\n        return 3"
    for text in (code, "def m(self):\n    return self._h()\n\ndef _h(self):\n    return 3"):
        assert edited(python(text), tree) == (
            b"class A:\n    def m(self):\n        return self._h()\n\n    def _h(self):\n        return 3\n\n"
            b"    def n(self):\n        return 2\n"
        )


def test_missing_imports_that_are_used_are_added_once() -> None:
    tree = one('"""Doc."""\nimport os\nfrom typing import List\n\n\ndef f(x: List):\n    return x\n')
    code = (
        "import os\nimport re\nfrom typing import List, Dict\nimport unittest\nfrom mod import f\n\ndef f(x: Dict):\n"
    )
    made = edited(python(code + "    return re.sub(os.sep, '', x)"), tree)
    assert made == (
        b'"""Doc."""\nimport os\nfrom typing import List\nimport re\nfrom typing import Dict\n\n\n'
        b"def f(x: Dict):\n    return re.sub(os.sep, '', x)\n"
    )


def test_imports_go_below_the_docstring_of_a_file_without_any() -> None:
    tree = one('#!/usr/bin/env python\n"""Doc."""\n\ndef f():\n    return 1\n')
    made = edited(python("import math\ndef f():\n    return math.pi"), tree)
    assert made.startswith(b'#!/usr/bin/env python\n"""Doc."""\n\nimport math\n')


def test_constants_before_a_function_are_replaced_or_inserted() -> None:
    tree = one("LIMIT = 1\n\n\ndef f():\n    return LIMIT\n")
    made = edited(python("LIMIT = 2\nEXTRA = 3\n\ndef f():\n    return LIMIT + EXTRA"), tree)
    assert made == b"LIMIT = 2\n\n\nEXTRA = 3\n\n\ndef f():\n    return LIMIT + EXTRA\n"
    assert edited(python("LIMIT = 9"), tree) == b"LIMIT = 9\n\n\ndef f():\n    return LIMIT\n"


def test_examples_and_tests_after_the_code_are_dropped() -> None:
    tree = one("def f(x):\n    return x\n")
    tail = (
        "\n# Example usage\nresult = f(1)\nprint(result)\nassert f(1) == 2\n\ndef test_f():\n    assert f(1) == 2\n"
        "\nclass TestF(unittest.TestCase):\n    def test(self):\n        pass\n\ndef main():\n    print(f(2))\n"
        '\nif __name__ == "__main__":\n    main()\n    import doctest\n    doctest.testmod()\n>>> f(1)\n2'
    )
    assert edited(python("def f(x):\n    return x + 1\n" + tail), tree) == b"def f(x):\n    return x + 1\n"


def test_a_block_with_the_whole_file_replaces_definition_by_definition() -> None:
    old = "import os\n\nA = 1\n\n\ndef f():\n    return 1\n\n\ndef g():\n    # odd   spacing stays\n    return  2\n"
    made = edited(python(old.replace("return 1", "return 3").replace("import os\n\n", "")), one(old))
    assert made.decode() == old.replace("return 1", "return 3")


@pytest.mark.parametrize(
    "hole",
    [
        "# ... rest of the code",
        "...",
        "# rest of the function remains the same",
        "...  # unchanged",
        "# existing code here",
    ],
)
def test_left_out_lines_are_said_back(hole: str) -> None:
    tree = one("def f(x):\n    y = 1\n    z = 2\n    return y\n")
    said = problem(python(f"def f(x):\n    y = 2\n    {hole}\n    return y"), tree)
    assert "every line" in said


def test_comments_that_only_sound_like_left_out_lines_are_fine() -> None:
    tree = one("def f(x):\n    return 1\n")
    for comment in ("# check the remaining code points", "# the existing code is wrong when x < 0", "# other lines?"):
        assert edited(python(f"def f(x):\n    {comment}\n    return 2"), tree).endswith(b"return 2\n")


def test_an_ellipsis_that_was_there_before_is_fine() -> None:
    tree = one("class P(Protocol):\n    def m(self) -> int: ...\n\n    def n(self) -> int: ...\n")
    made = edited(python("class P(Protocol):\n    def m(self) -> str: ...\n\n    def n(self) -> int: ..."), tree)
    assert made == tree[MOD].replace(b"m(self) -> int", b"m(self) -> str")


def test_stubs_for_unchanged_methods_leave_them_as_they_are() -> None:
    tree = one("class A:\n    def m(self):\n        return 1\n\n    def n(self):\n        return 2\n")
    code = "class A:\n    def m(self):\n        # unchanged\n        pass\n\n    def n(self):\n        return 3"
    assert edited(python(code), tree) == tree[MOD].replace(b"return 2", b"return 3")
    assert "no body" in problem(python("class A:\n    def m(self):\n        pass"), tree)


def test_the_same_code_again_is_a_problem() -> None:
    tree = one("def f(x):\n    return x\n")
    assert "changes nothing" in problem(python("def f(x):\n    return x"), tree)


def test_of_a_copy_and_a_new_version_the_new_one_counts() -> None:
    tree = one("def f(x):\n    return x\n")
    old, new = python("def f(x):\n    return x"), python("def f(x):\n    return 2")
    assert edited(f"Now:\n{old}\nFixed:\n{new}", tree) == b"def f(x):\n    return 2\n"
    assert edited(f"Fixed:\n{new}\nIt was:\n{old}", tree) == b"def f(x):\n    return 2\n"


def test_an_assignment_after_the_code_is_taken_only_where_the_file_has_it() -> None:
    tree = tree_of(a_py="def f():\n    return 1\n\n\nTABLE = {1: f}\n", b_py="result = 0\n")
    made = symbol(python("def f():\n    return 2\n\nTABLE = {2: f}\nresult = f()\nprint(result)"), tree)
    assert made == {"a.py": b"def f():\n    return 2\n\n\nTABLE = {2: f}\n"}


def test_a_helper_in_a_block_of_its_own_goes_beside_the_known_definition() -> None:
    tree = one("import os\n\n\ndef f():\n    return 1\n\n\ndef g():\n    return 2\n")
    helper, fixed = python("import re\n\ndef h():\n    return re.I"), python("def f():\n    return h()")
    begin = b"import os\nimport re\n\n\n"
    for text, order in (
        (helper + fixed, b"def h():\n    return re.I\n\n\ndef f():\n    return h()"),
        (fixed + helper, b"def f():\n    return h()\n\n\ndef h():\n    return re.I"),
    ):
        assert edited(text, tree) == begin + order + b"\n\n\ndef g():\n    return 2\n"


def test_a_test_in_a_block_of_its_own_is_dropped() -> None:
    tree = tree_of(a_py="def f():\n    return 1\n", test_a_py="def test_f():\n    assert f() == 1\n")
    text = python("def f():\n    return 2") + python("def test_f():\n    assert f() == 2\n\ntest_f()")
    assert list(symbol(text, tree, ["a.py"])) == ["a.py"]


@pytest.mark.parametrize(
    "text",
    [
        "```python\n# b.py\ndef f():\n    return 2\n```",
        "### b.py\n```python\ndef f():\n    return 2\n```",
        "File: `b.py`\n\n```python\ndef f():\n    return 2\n```",
        "**b.py**:\n```python\ndef f():\n    return 2\n```",
        "```python b.py\ndef f():\n    return 2\n```",
        "```python:b.py\ndef f():\n    return 2\n```",
        '```python title="b.py"\ndef f():\n    return 2\n```',
        "~~~~py\n# File: ./b.py\ndef f():\n    return 2\n~~~~",
        "In the file `b.py` the function is wrong:\n```\ndef f():\n    return 2\n```",
    ],
)
def test_ways_to_name_the_file(text: str) -> None:
    tree = tree_of(a_py="def f():\n    return 1\n", b_py="def f():\n    return 1\n")
    assert symbol(text, tree) == {"b.py": b"def f():\n    return 2\n"}


def test_one_block_for_two_files() -> None:
    tree = tree_of(pkg__a_py="def f():\n    return 1\n", pkg__b_py="def g():\n    return 1\n")
    text = python("# pkg/a.py\ndef f():\n    return 2\n\n# pkg/b.py\ndef g():\n    return 2")
    assert symbol(text, tree) == {"pkg/a.py": b"def f():\n    return 2\n", "pkg/b.py": b"def g():\n    return 2\n"}


def test_a_wrong_file_name_does_not_matter_when_the_definition_is_known() -> None:
    tree = tree_of(a_py="def f():\n    return 1\n")
    assert symbol(python("# path/to/file.py\ndef f():\n    return 2"), tree) == {"a.py": b"def f():\n    return 2\n"}


def test_files_not_shown_are_searched_last() -> None:
    tree = tree_of(a_py="def f():\n    return 1\n", b_py="def f():\n    return 1\n\ndef g():\n    return 1\n")
    assert list(symbol(python("def f():\n    return 2"), tree, ["a.py"])) == ["a.py"]
    assert list(symbol(python("def g():\n    return 2"), tree, ["a.py"])) == ["b.py"]


def test_of_files_not_shown_those_with_tests_come_last() -> None:
    tree = tree_of(a_py="x = 1\n", pkg__b_py="def g():\n    return 1\n", tests__c_py="def g():\n    return 1\n")
    assert list(symbol(python("def g():\n    return 2"), tree, ["a.py"])) == ["pkg/b.py"]


def test_two_files_with_the_same_function_are_ambiguous() -> None:
    tree = tree_of(a_py="def f():\n    return 1\n", b_py="def f():\n    return 1\n")
    said = problem(python("def f():\n    return 2"), tree)
    assert "a.py" in said
    assert "b.py" in said


def test_an_unknown_name_lists_what_there_is() -> None:
    said = problem(
        python("def fixed_f():\n    return 2"), one("def f():\n    return 1\n\nclass A:\n    def m(self): pass\n")
    )
    assert "`fixed_f`" in said
    assert "f, A, A.m" in said


def test_a_named_new_file_is_made() -> None:
    tree = tree_of(pkg__a_py="def f():\n    return 1\n")
    assert symbol(python("# pkg/helpers.py\nX = 1\n\ndef h():\n    return X"), tree) == {
        "pkg/helpers.py": b"X = 1\n\ndef h():\n    return X\n"
    }


def test_broken_code_is_quoted() -> None:
    tree = one("def f(x):\n    return x\n")
    said = problem(python("def f(x):\n    return (x +"), tree)
    assert "not valid Python" in said
    assert "return (x +" in said


def test_an_answer_that_was_cut_off_is_not_taken() -> None:
    tree = one("def f(x):\n    return x\n")
    assert "cut off" in problem("```python\ndef f(x):\n    x += 1\n", tree)


def test_code_without_a_fence_is_read() -> None:
    tree = one("def f(x):\n    return x\n")
    assert edited("The fix:\n\ndef f(x):\n    return x + 1\n", tree) == b"def f(x):\n    return x + 1\n"


def test_a_fence_inside_a_docstring_does_not_end_the_block() -> None:
    code = 'def f(x):\n    """Doc.\n\n```\nf(1)\n```\n    """\n    return x + 1'
    assert edited(python(code), one("def f(x):\n    return x\n")).decode() == code + "\n"


def test_text_without_code_says_the_form() -> None:
    tree = one("def f(x):\n    return x\n")
    assert "```python" in problem("The function is fine as it is.", tree)
    assert "search/replace" in problem("```json\n// conf.json\n{}\n```", {**tree, **one("{}", "conf.json")})
    assert "no Python file" in problem("```python\n# setup.cfg\ndef f(): pass\n```", {**tree, **one("", "setup.cfg")})


def test_search_replace_blocks_are_taken_in_the_symbol_format() -> None:
    text = "```python\nmod.py\n<<<<<<< SEARCH\n    return x\n=======\n    return 2\n>>>>>>> REPLACE\n```"
    assert edited(text, one("def f(x):\n    return x\n")) == b"def f(x):\n    return 2\n"


def test_class_line_and_bases_change_only_when_written() -> None:
    tree = one("class A(Base):\n    x = 1\n\n    def m(self):\n        return 1\n")
    assert edited(python("class A:\n    x = 2"), tree) == tree[MOD].replace(b"x = 1", b"x = 2")
    made = edited(python("@total_ordering\nclass A(Base, Other):\n    def m(self):\n        return 2"), tree)
    assert made == b"@total_ordering\nclass A(Base, Other):\n    x = 1\n\n    def m(self):\n        return 2\n"


def test_a_one_line_class_is_replaced_whole() -> None:
    tree = one("class E(Exception): pass\n\n\nX = 1\n")
    made = edited(python("class E(ValueError):\n    code = 2"), tree)
    assert made == b"class E(ValueError):\n    code = 2\n\n\nX = 1\n"


def test_nested_classes_and_functions() -> None:
    tree = one(
        "class A:\n    class Meta:\n        x = 1\n\n\ndef out():\n    def inner():\n"
        "        return 1\n    return inner\n"
    )
    assert b"        x = 2\n" in edited(python("class A:\n    class Meta:\n        x = 2"), tree)
    assert b"    def inner():\n        return 2\n    return" in edited(python("def inner():\n    return 2"), tree)


def test_functions_in_branches_are_told_apart_by_their_parameters() -> None:
    tree = one("if X:\n    def f(a):\n        return 1\nelse:\n    def f(a, b):\n        return 1\n")
    assert edited(python("def f(a, b):\n    return 2"), tree) == (
        b"if X:\n    def f(a):\n        return 1\nelse:\n    def f(a, b):\n        return 2\n"
    )


def test_a_definition_that_shares_its_line_is_left_alone() -> None:
    said = problem(python("X = 3"), one("X = 1; Y = 2\n"))
    assert "shares its line" in said


def test_other_encodings_and_byte_order_marks_stay() -> None:
    latin = "# -*- coding: latin-1 -*-\nN = 'é'\n\ndef f():\n    return 1\n".encode("latin-1")
    made = edited(python("def f():\n    return 'ü'"), one(latin))
    assert made == latin.replace(b"return 1", b"return '\xfc'")
    marked = b"\xef\xbb\xbfdef f():\n    return 1\n"
    assert edited(python("def f():\n    return 2"), one(marked)) == b"\xef\xbb\xbfdef f():\n    return 2\n"


def test_a_result_that_does_not_parse_is_refused() -> None:
    tree = one("def f():\n    return 1\n")
    said = problem(python("def f():\n    nonlocal x\n    return 1"), tree)
    assert "does not parse" in said


NAMES = ["alpha", "beta", "gamma", "delta"]
BODY = st.lists(st.sampled_from(["x = 1", "if x:\n        y = 2", "", "# note", "'s'"]), max_size=4).map(
    lambda lines: "".join(f"    {line}\n" if line else "\n" for line in lines) + "    return x\n"
)
GAP = st.sampled_from(["\n", "\n\n\n", "\n# a comment\n", "\nX = [\n  1,\n]\n", "\n\tpass\n"[:1], "\n'''text'''\n"])


@given(st.lists(st.tuples(GAP, BODY), min_size=2, max_size=4), st.integers(0, 3), BODY, st.sampled_from(["\n", "\r\n"]))
def test_every_other_byte_of_the_file_stays(parts: list[tuple[str, str]], which: int, body: str, newline: str) -> None:
    which %= len(parts)

    def text(replaced: str | None) -> bytes:
        made = ""
        for number, (gap, old) in enumerate(parts):
            code = replaced if replaced is not None and number == which else old
            made += f"{gap}def {NAMES[number]}(x):\n{code}"
        return made.replace("\n", newline).encode()

    before, after = text(None), text(body)
    result = read_edit(python(f"def {NAMES[which]}(x):\n{body}"), one(before), [], "symbol")
    if before == after:
        assert isinstance(result, EditResult)
        assert "changes nothing" in getattr(result, "message", "")
    else:
        assert getattr(result, "changes", result) == {"mod.py": after}


@given(st.text(), st.sampled_from(["symbol", "search_replace"]))
def test_arbitrary_text_never_raises(text: str, format: str) -> None:
    result = read_edit(text, one("def f(x):\n    return x\n"), [], "symbol" if format == "symbol" else "search_replace")
    assert isinstance(result, Edited) or 0 < len(result.message) <= 2_000


PIECES = st.sampled_from(
    [
        "```python\n", "```\n", "~~~\n", "def f(x):\n", "    return x\n", "class A:\n", "  def m(self):\n",
        "\t", "@x\n",
        "<<<<<<< SEARCH\n", "=======\n", ">>>>>>> REPLACE\n", "<<<<<<< DELETE\n", "mod.py\n",
        "# mod.py\n", "import os\n",
        "'''", '"', "(", "X = 1\n", "...\n", "\r", "\0", "\ud800", "é\n", ";", "\\\n", "if x:\n", "else:\n", "    ",
    ]
)  # fmt: skip


@given(st.lists(PIECES, max_size=25).map("".join), st.sampled_from(["symbol", "search_replace"]))
def test_pieces_of_edits_in_any_order_never_raise(text: str, format: str) -> None:
    tree = one("import os\nX = 1\n\ndef f(x):\n    return x\n\nclass A:\n  def m(self):\n    pass\n")
    result = read_edit(text, tree, [], "symbol" if format == "symbol" else "search_replace")
    assert isinstance(result, Edited) or 0 < len(result.message) <= 2_000
