"""Each defect of CodeMonkeys' edit layer that was seen by running it, as a case that ours passes.

The letters are those of the list in the project's description of CodeMonkeys, section 2.3.
"""

import pytest

from tests.agent.edit.helpers import block, blocks, edited, one, problem, python


@pytest.mark.parametrize("length", [5, 6, 7, 8, 20])
def test_defect_a_a_line_of_equals_signs_does_not_corrupt_the_file(length: int) -> None:
    line = "=" * length
    old = f'"""\nTitle\n{line}\n\ntext\n"""\nx = 1\n'
    text = block(f"Title\n{line}\n\ntext\n", f"Title\n{line}\n\nbetter text\n")
    assert blocks(text, one(old))["mod.py"] == old.replace("text", "better text").encode()


def test_defect_b_the_last_line_without_newline_is_found() -> None:
    assert blocks(block("x = 1\n", "x = 2\n"), one("y = 0\nx = 1"))["mod.py"] == b"y = 0\nx = 2"


def test_defect_c_a_file_without_final_newline_stays_so() -> None:
    assert blocks(block("y = 0\n", "y = 1\n"), one("y = 0\nx = 1"))["mod.py"] == b"y = 1\nx = 1"


def test_defect_d_crlf_files_are_edited_and_stay_crlf() -> None:
    tree = one(b"a = 1\r\nb = 2\r\n")
    assert blocks(block("b = 2\n", "b = 3\nc = 4\n"), tree)["mod.py"] == b"a = 1\r\nb = 3\r\nc = 4\r\n"


def test_defect_e_an_edit_that_changes_nothing_is_a_problem() -> None:
    assert "changes nothing" in problem(block("x = 1\n", "x = 1\n"), one("x = 1\n"), "search_replace")
    assert "changes nothing" in problem(python("def f():\n    return 1"), one("def f():\n    return 1\n"))


def test_defect_f_suggestions_for_a_repetitive_file_are_capped() -> None:
    tree = one("    value = compute(a, b)\n" * 10_000, "mod.txt")
    said = problem(block("value = compute(a, c)\nother\n", "x\n", path="mod.txt"), tree, "search_replace")
    assert said.count("Lines ") <= 3
    said = problem(block("value = compute(a, b)\n", "x\n", path="mod.txt"), tree, "search_replace")
    assert "10000 times" in said


@pytest.mark.parametrize("length", [5, 6, 7])
def test_defect_a_divider_of_five_signs_that_the_prompt_promises_is_read(length: int) -> None:
    text = f"mod.py\n<<<<<<< SEARCH\nx = 1\n{'=' * length}\nx = 2\n>>>>>>> REPLACE\n"
    assert blocks(text, one("x = 1\n"))["mod.py"] == b"x = 2\n"


def test_defect_a_blank_line_is_not_read_as_a_deletion() -> None:
    assert blocks(block("x = 1\n", "\n"), one("a\nx = 1\nb\n", "mod.py"))["mod.py"] == b"a\n\nb\n"


def test_defect_new_deleted_and_other_files_can_be_edited() -> None:
    tree = {**one("x = 1\n"), **one("text\n", "README.md"), **one("old\n", "old.cfg")}
    text = block("", "new\n", path="new.cfg") + block("text\n", "words\n", path="README.md")
    assert blocks(text + "old.cfg\n<<<<<<< DELETE\n", tree) == {
        "new.cfg": b"new\n",
        "README.md": b"words\n",
        "old.cfg": None,
    }


def test_defect_tabs_are_white_space_too() -> None:
    tree = one("def f():\n\treturn 1\n")
    assert blocks(block("    return 1\n", "    return 2\n"), tree)["mod.py"] == b"def f():\n\treturn 2\n"


def test_defect_an_edit_that_does_not_parse_is_refused() -> None:
    assert "does not parse" in problem(block("x = 1\n", "x = = 1\n"), one("x = 1\n"), "search_replace")


def test_defect_a_marker_named_in_the_reasoning_does_not_capture_the_answer() -> None:
    text = "I will write a ```python block with `<<<<<<< SEARCH` in mind.\n" + python("def f():\n    return 2")
    assert edited(text, one("def f():\n    return 1\n")) == b"def f():\n    return 2\n"


def test_defect_a_repeated_block_is_one_edit() -> None:
    assert blocks(block("x = 1\n", "x = 2\n") * 2, one("x = 1\n"))["mod.py"] == b"x = 2\n"
