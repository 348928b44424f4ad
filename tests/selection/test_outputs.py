from time import perf_counter

from selection.outputs import LINE_CHARS, differences


def test_lines_that_all_have_are_told_once_with_marks_where_they_differ() -> None:
    found = differences(["a\nb\nc\nd\ne", "a\nB\nc\nD\nE", "a\nb\nc\nd\nE"])
    assert found.alike == "a\n[line 2 differs]\nc\n[lines 4 to 5 differ]"
    assert found.own == ("2: b\n4: d\n5: e", "2: B\n4: D\n5: E", "2: b\n4: d\n5: E")


def test_an_output_with_more_lines_is_set_against_those_before_the_common_end() -> None:
    found = differences(["warning\n1\n2", "1\n2"])
    assert found.alike == "[line 1 differs]\n1\n2"
    assert found.own == ("1: warning", "")


def test_an_output_that_ends_early_differs_in_the_rest() -> None:
    found = differences(["1\n2\n3", "1\nKeyError"])
    assert found.alike == "1\n[lines 2 to 3 differ]"
    assert found.own == ("2: 2\n3: 3", "2: KeyError")


def test_outputs_without_a_line_in_common_are_shown_as_they_are() -> None:
    assert differences(["1", "2"]) == differences([" 1\n", "2"])
    assert differences(["1\n\n2", "3\n\n4"]).own == ("1\n2", "3\n4")
    assert differences(["", "2"]).alike == ""


def test_long_lines_are_cut_to_where_they_differ() -> None:
    first, second = differences(["x" * 5_000 + "1" + "y" * 5_000, "x" * 5_000 + "2" + "y" * 5_000]).own
    assert first.startswith("[...] xxx")
    assert "x1y" in first
    assert "x2y" in second
    assert len(first) < LINE_CHARS + 20
    assert differences(["x" * 400, "x" * 500]).own[1].count("x") == 140


def test_hostile_outputs_take_no_time() -> None:
    began = perf_counter()
    differences(["a\n" * 200_000 + "b", "\na" * 200_000])
    assert perf_counter() - began < 10
