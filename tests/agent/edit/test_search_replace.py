"""Search/replace blocks: parsed by lines, placed by the file's own text, byte for byte."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from agent.edit import Edited, read_edit
from agent.edit.search_replace import EditBlock, Split, parse_blocks, render_block
from agent.edit.values import EditProblem
from sandbox.base import RepoPath
from tests.agent.edit.helpers import block, blocks, one, problem, tree_of

TEN = "".join(f"line {n}\n" for n in range(10))


def taken(text: str, content: str | bytes) -> bytes | None:
    return blocks(text, one(content))["mod.py"]


def test_one_block_is_split_in_two_parts() -> None:
    parsed = parse_blocks(block("a\nb\n", "c\n"), {})
    assert parsed == [EditBlock("mod.py", (Split(("a", "b"), ("c",)),))]


def test_several_blocks_refer_to_the_file_as_it_was() -> None:
    text = block("line 1\n", "line 2\n") + block("line 2\n", "line 1\n")
    assert taken(text, TEN) == TEN.replace("line 1\nline 2\n", "line 2\nline 1\n").encode()


def test_the_path_is_named_once_for_several_blocks() -> None:
    text = block("line 1\n", "1\n") + block("line 2\n", "2\n", path="")
    assert taken(text, TEN) == TEN.replace("line 1\nline 2\n", "1\n2\n").encode()


@pytest.mark.parametrize(
    "head",
    [
        "a/mod.txt\n```python\n<<<<<<< SEARCH",
        "```python\na/mod.txt\n<<<<<<< SEARCH",
        "### `a/mod.txt`\n\n<<<<<<< SEARCH",
        "<<<<<<< SEARCH a/mod.txt",
        "<<<<<<< SEARCH `a/mod.txt`",
        "```text a/mod.txt\n<<<<<<< SEARCH",
        "File: a/mod.txt:\n<<<<<<< SEARCH",
        "I change `a/mod.txt` so:\n<<<<<<< SEARCH",
    ],
)
def test_ways_to_name_the_file(head: str) -> None:
    tree = {**one("x\n", "a/mod.txt"), **one("x\n", "b/mod.txt")}
    assert blocks(f"{head}\nx\n=======\ny\n>>>>>>> REPLACE\n```\n", tree) == {"a/mod.txt": b"y\n"}


def test_without_a_path_the_file_that_holds_the_text_is_meant() -> None:
    tree = {**one("x\n", "a.txt"), **one("z\n", "b.txt")}
    assert blocks(block("z\n", "y\n", path=""), tree) == {"b.txt": b"y\n"}
    assert "which file" in problem(block("q\n", "y\n", path=""), tree, "search_replace")


def test_an_empty_replacement_deletes_and_a_blank_line_is_a_blank_line() -> None:
    assert taken(block("b\n", ""), "a\nb\nc\n") == b"a\nc\n"
    assert taken(block("b\n", "\n"), "a\nb\nc\n") == b"a\n\nc\n"


def test_crlf_stays_and_mixed_endings_stay_where_lines_stay() -> None:
    assert taken(block("b\n", "B\nbb\n"), b"a\r\nb\r\nc\r\n") == b"a\r\nB\r\nbb\r\nc\r\n"
    assert taken(block("a\nb\nc\n", "a\nB\nc\n"), b"a\nb\r\nc\nd\r\n") == b"a\nB\r\nc\nd\r\n"


def test_a_reply_with_crlf_is_read_like_one_without() -> None:
    assert taken(block("b\n", "B\n").replace("\n", "\r\n"), "a\nb\n") == b"a\nB\n"


def test_the_last_line_without_newline_is_found_and_stays_so() -> None:
    assert taken(block("b\n", "B\nC\n"), "a\nb") == b"a\nB\nC"


def test_form_feeds_and_unicode_separators_are_no_line_ends() -> None:
    assert taken(block("b\n", "c\n"), "a\x0cx\u2028\x85\nb\n") == "a\x0cx\u2028\x85\nc\n".encode()


def test_bytes_that_are_no_utf8_stay() -> None:
    assert taken(block("b\n", "c\n"), b"\xff\xfe x\nb\n") == b"\xff\xfe x\nc\n"


@pytest.mark.parametrize("length", [3, 4, 5, 6, 8, 9, 40])
def test_lines_of_equals_signs_are_text(length: int) -> None:
    line = "=" * length
    made = taken(block(f"Title\n{line}\n", f"Other\n{line}\n"), f"Title\n{line}\n\nbody\n")
    assert made == f"Other\n{line}\n\nbody\n".encode()


def test_a_heading_underlined_like_the_divider_is_read_against_the_file() -> None:
    tree = one("Heading\n=======\n\nbody\n", "a.rst")
    for search, put, made in (
        ("Heading\n=======\n\nbody\n", "Heading\n=======\n\nother\n", b"Heading\n=======\n\nother\n"),
        ("body\n", "Section\n=======\n", b"Heading\n=======\n\nSection\n=======\n"),
        ("=======\n\nbody\n", "", b"Heading\n"),
    ):
        assert blocks(block(search, put, path="a.rst"), tree) == {"a.rst": made}


def test_what_can_be_read_in_two_ways_is_asked_again_with_longer_markers() -> None:
    tree = one("x\n=======\ny\n", "a.rst")
    said = problem(block("x\n=======\n", "", path="a.rst"), tree, "sr")
    assert "several ways" in said
    assert "<<<<<<<<<< SEARCH" in said
    assert blocks(block("x\n=======\n", "", path="a.rst", length=10), tree) == {"a.rst": b"y\n"}


def test_merge_conflict_markers_are_text() -> None:
    conflict = "<<<<<<< HEAD\nours\n=======\ntheirs\n>>>>>>> branch\n"
    tree = one(conflict + "end\n", "a.txt")
    assert blocks(block(conflict, "ours\n", path="a.txt", length=8), tree) == {"a.txt": b"ours\nend\n"}
    assert "ten characters" in problem(block(conflict, "ours\n", path="a.txt"), tree, "sr")


def test_markers_of_the_form_itself_are_text_inside_longer_ones() -> None:
    inner = block("a\n", "b\n")
    assert taken(render_block("mod.py", inner.splitlines(), ["x"]), inner + "end\n") == b"x\nend\n"
    said = problem(block(inner, "x\n"), one(inner), "sr")
    assert "<<<<<<<<<< SEARCH" in said


def test_an_unclosed_block_is_said_to_be_cut_off() -> None:
    assert "cut off" in problem("mod.py\n<<<<<<< SEARCH\na\n=======\nb\n", one("a\n"), "sr")


def test_a_missing_divider_is_said() -> None:
    assert "dividing line" in problem("mod.py\n<<<<<<< SEARCH\na\n>>>>>>> REPLACE\n", one("a\n"), "sr")


@pytest.mark.parametrize("divider", ["=====", "======", "==========="])
def test_a_divider_of_another_length_is_taken_when_there_is_no_other(divider: str) -> None:
    assert taken(f"mod.py\n<<<<<<< SEARCH\na\n{divider}\nb\n>>>>>>>> REPLACE\n", "a\n") == b"b\n"


def test_new_files_of_any_kind_and_deleted_ones() -> None:
    tree = {**one("x = 1\n"), **one("old\n", "docs/old.md")}
    made = blocks(block("", "# New\n\ntext\n", path="docs/new.md") + "docs/old.md\n<<<<<<< DELETE\n", tree)
    assert made == {"docs/new.md": b"# New\n\ntext\n", "docs/old.md": None}
    assert blocks("<<<<<<< DELETE docs/old.md\n>>>>>>> DELETE\n", tree) == {"docs/old.md": None}
    assert blocks(block("", "", path="pkg/__init__.py"), tree) == {"pkg/__init__.py": b""}


def test_an_empty_file_is_filled() -> None:
    assert taken(block("", "x = 1\n"), "") == b"x = 1\n"


def test_new_files_are_not_made_by_mistake() -> None:
    tree = one("x = 1\n", "pkg/mod.py")
    assert "Did you mean `pkg/mod.py`" in problem(block("x = 1\n", "y\n", path="pgk/mod.py"), tree, "sr")
    assert "exists" in problem(block("", "y\n", path="pkg/mod.py"), tree, "sr")
    assert "folder" in problem(block("", "y\n", path="pkg"), tree, "sr")
    assert "folder" in problem(block("", "y\n", path="pkg/mod.py/x.py"), tree, "sr")
    assert "no such file" in problem("pkg/none.py\n<<<<<<< DELETE\n", tree, "sr")


def test_ambiguous_text_says_how_often_and_where() -> None:
    said = problem(block("a\n", "b\n"), one("a\nx\na\ny\na\n"), "sr")
    assert "3 times" in said
    assert "1, 3, 5" in said
    assert "Add lines" in said


def test_a_uniform_shift_of_indentation_is_applied_to_the_replacement() -> None:
    content = "class A:\n    def m(self):\n        if x:\n            return 1\n"
    made = taken(block("if x:\n    return 1\n", "if y:\n    return 2\nreturn 3\n"), content)
    assert made == b"class A:\n    def m(self):\n        if y:\n            return 2\n        return 3\n"
    less = taken(
        block("            if x:\n                return 1\n", "            if y:\n                return 2\n"), content
    )
    assert less == content.replace("x:", "y:").replace("return 1", "return 2").encode()


def test_spaces_for_tabs_are_applied() -> None:
    content = "def m():\n\tif x:\n\t\treturn 1\n"
    made = taken(block("    if x:\n        return 1\n", "    if x:\n        return 2\n"), content)
    assert made == content.replace("1", "2").encode()


def test_trailing_blanks_are_tolerated_and_kept() -> None:
    assert taken(block("a\nb\n", "a\nc\n"), "a  \nb \n") == b"a  \nc\n"


def test_outer_blank_lines_the_model_added_are_tolerated() -> None:
    assert taken(block("\nb\n\n", "\nc\n\n"), "a\nb\nc = 1\n".replace("c = 1", "d")) == b"a\nc\nd\n"


def test_an_uneven_change_of_indentation_is_shown_back() -> None:
    said = problem(
        block("if x:\n        y()\n    z()\n", "w()\n"), one("if x:\n  y()\n  z()\n", "mod.txt"), "sr", ["mod.txt"]
    )
    said_of = problem(
        block("if x:\n        y()\n    z()\n", "w()\n", path="mod.txt"), one("if x:\n  y()\n  z()\n", "mod.txt"), "sr"
    )
    assert "white space" in said_of
    assert "```\nif x:\n  y()\n  z()\n```" in said_of
    assert "mod.py" in said


def test_inner_white_space_is_not_tolerated() -> None:
    said = problem(block("x  =  1\n", "x = 2\n"), one("x = 1\n"), "sr")
    assert "not in `mod.py`" in said
    assert "x = 1" in said


def test_near_misses_show_the_actual_text() -> None:
    content = "def total(items):\n    result = 0\n    for item in items:\n        result += item\n    return result\n"
    said = problem(
        block("    result = 0\n    for i in items:\n        result += i\n", "    pass\n"), one(content), "sr"
    )
    assert "Lines 2 to 4" in said
    assert "    for item in items:\n        result += item" in said


def test_corrected_code_in_the_search_part_is_recognised() -> None:
    said = problem(block("x = 2\n", "x = 2\n"), one("x = 1\n"), "sr")
    assert "not as they should become" in said


def test_text_found_in_another_file_names_it() -> None:
    tree = tree_of(a_py="alpha = 1\n", b_py="beta = 2\n")
    assert "`b.py`" in problem(block("beta = 2\n", "beta = 3\n", path="a.py"), tree, "sr")


def test_overlapping_blocks_are_refused_and_repeated_ones_are_one() -> None:
    text = block("line 1\nline 2\n", "a\n") + block("line 2\nline 3\n", "b\n")
    assert "overlap" in problem(text, one(TEN), "sr")
    assert taken(block("line 1\n", "a\n") * 2, TEN) == TEN.replace("line 1", "a").encode()


def test_a_problem_with_one_block_changes_nothing_at_all() -> None:
    said = problem(block("line 1\n", "a\n") + block("nowhere\n", "b\n"), one(TEN), "sr")
    assert "not in `mod.py`" in said


def test_many_problems_are_capped() -> None:
    text = "".join(block(f"def missing_{n}(): {'x' * 300}\n", "b\n") for n in range(40))
    said = problem(text, one(TEN), "sr")
    assert "37 more" in said


@pytest.mark.parametrize(
    "path",
    [
        "../out.py",
        "/etc/passwd",
        "a/../../x.py",
        ".git/config",
        "sub/.git/hooks/pre-commit",
        ".GIT/config",
        "git~1/x.py",
    ],
)
def test_paths_outside_the_working_tree_are_refused(path: str) -> None:
    assert "working tree" in problem(block("", "x\n", path=path), one("y\n"), "sr")


def test_a_definition_is_taken_where_no_block_is_found() -> None:
    assert taken("```python\ndef f():\n    return 2\n```", "def f():\n    return 1\n") == b"def f():\n    return 2\n"
    assert "<<<<<<< SEARCH" in problem("I have no idea.", one("x = 1\n"), "search_replace")


TEXT_LINE = st.one_of(
    st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]), max_size=12),
    st.sampled_from(
        ["=======", "======", "========", "<<<<<<< SEARCH", ">>>>>>> REPLACE", ">>>>>>>> REPLACE", ">>>>>>>",
         "<<<<<<< HEAD", "```", "", "    x", "<<<<<<< DELETE", "mod.txt", "=======  "]
    ),
)  # fmt: skip


@given(
    st.lists(TEXT_LINE, min_size=1, max_size=8),
    st.lists(TEXT_LINE, max_size=8),
    st.integers(0, 7),
    st.integers(1, 8),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
def test_any_edit_that_is_written_in_the_form_is_read_back(
    old: list[str], put: list[str], start: int, size: int, newline: str, ends: bool
) -> None:
    start %= len(old)
    search = old[start : start + size]
    assume(any(line.strip() for line in search))
    assume(not any(old[n : n + len(search)] == search for n in range(len(old)) if n != start))
    new = [*old[:start], *put, *old[start + size :]]
    assume(ends or (new and new[-1] and old[-1] and len(old) > 1))

    def joined(lines: list[str]) -> bytes:
        return (newline.join(lines) + (newline if ends and lines else "")).encode()

    path = RepoPath("mod.txt")
    assume(joined(new) != joined(old) and not joined(old).startswith(b"\xef\xbb\xbf"))
    result = read_edit(render_block(path, search, put), {path: joined(old)}, [path], "search_replace")
    assert isinstance(result, Edited), getattr(result, "message", "")
    assert result.changes == {path: joined(new)}


@given(st.lists(TEXT_LINE, max_size=30).map("\n".join))
def test_the_parser_never_raises(text: str) -> None:
    parsed = parse_blocks(text, {})
    assert isinstance(parsed, EditProblem) or parsed
