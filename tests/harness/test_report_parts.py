"""The pieces of the report: cleaned text, diffs, prose, the vote matrix's picture, names and figures."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.report.diff import read_diff
from harness.report.executions import PROBES_SHOWN, ProbeView
from harness.report.matrix_svg import picture
from harness.report.prose import blocks
from harness.report.text import clean, count, first_line, plural, seconds
from harness.report.usage import command, saved, stages, timeline, total
from harness.report.view import class_names, make_view
from harness.result import SavedRecord, StoppedRecord
from harness.units import money
from tests.harness.report_fixture import LONG, RIGHT, selected, turns


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]8;;http://evil\x07link\x1b]8;;\x07", "link"),
        ("\x1b[2J\x1b[Htop", "top"),
        ("\x9b31mred", "red"),
        ("\x1bPsecret\x1b\\after", "after"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("a\u202eb", "a\N{REPLACEMENT CHARACTER}b"),
        ("\ud800", "?"),
        ("tab\tstays", "tab\tstays"),
    ],
)
def test_clean(raw: str, shown: str) -> None:
    assert clean(raw) == shown


@given(st.text(), st.integers(min_value=10, max_value=200))
def test_clean_keeps_its_promises(text: str, limit: int) -> None:
    shown = clean(text, limit)
    assert len(shown) <= limit + 60
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)
    shown.encode("utf-8")


def test_clean_is_quick_on_hostile_output() -> None:
    assert len(clean("\x1b]" * 2_000_000)) < 30_000


def test_long_text_keeps_both_ends() -> None:
    shown = clean("start" + "-" * 50_000 + "end", 1000)
    assert shown.startswith("start")
    assert shown.endswith("end")
    assert "characters left out" in shown


@pytest.mark.parametrize(
    ("text", "title"),
    [("\n\n## A title ##\nmore", "A title ##"), ("", ""), ("###\n\nsecond", "second"), ("x" * 300, "x" * 119 + "…")],
)
def test_first_line(text: str, title: str) -> None:
    assert first_line(text) == title


def test_figures() -> None:
    assert [seconds(value) for value in (0.04, 9.94, 59.4, 59.6, 200, 3900)] == [
        "0.0 s",
        "9.9 s",
        "59 s",
        "1 min 00 s",
        "3 min 20 s",
        "1 h 05 min",
    ]
    assert [money(value) for value in (0, 0.00412, 1.5)] == ["$0", "$0.0041", "$1.50"]
    assert count(1234567) == "1\N{NARROW NO-BREAK SPACE}234\N{NARROW NO-BREAK SPACE}567"
    assert (plural(1, "class", "classes"), plural(2, "class", "classes")) == ("1 class", "2 classes")


def test_a_diff_has_numbers_on_both_sides() -> None:
    (file,) = read_diff(LONG)
    (hunk,) = file.hunks
    assert (file.path, file.added, file.removed, hunk.where) == ("studio/spans.py", 3, 1, "def merge(spans):")
    assert [(line.old, line.new) for line in hunk.lines] == [
        (33, 33),
        (34, 34),
        (35, 35),
        (36, None),
        (None, 36),
        (None, 37),
        (None, 38),
        (37, 39),
        (38, 40),
        (39, 41),
    ]


def test_a_diff_marks_what_changed_within_a_line() -> None:
    lines = read_diff(RIGHT)[0].hunks[0].lines
    added = next(line for line in lines if line.kind == "added")
    assert "".join(text for text, changed in added.parts if changed) == "max(last.end, )"
    assert "".join(text for text, _ in added.parts) == (
        "            merged.append(Span(last.start, max(last.end, span.end)))"
    )


def test_a_diff_of_many_kinds() -> None:
    patch = (
        "diff --git a/old.py b/new.py\nsimilarity index 100%\nrename from old.py\nrename to new.py\n"
        "diff --git a/gone.py b/gone.py\ndeleted file mode 100644\n--- a/gone.py\n+++ /dev/null\n"
        "@@ -1,2 +0,0 @@\n--- a comment in SQL\n-b\n\\ No newline at end of file\n"
        "diff --git a/pic.png b/pic.png\nnew file mode 100644\nGIT binary patch\nliteral 3\nabc\n\n"
    )
    renamed, gone, picture_file = read_diff(patch)
    assert (renamed.path, renamed.note) == ("new.py", "renamed from old.py")
    assert (gone.note, gone.removed) == ("deleted", 2)
    assert gone.hunks[0].lines[0].parts == (("-- a comment in SQL", False),)
    assert gone.hunks[0].lines[2].kind == "note"
    assert picture_file.note == "new file, binary"


@given(st.text(alphabet=st.sampled_from("+-@ \\\n0,1dif abg/"), max_size=300))
def test_no_text_is_too_strange_for_a_diff(text: str) -> None:
    for file in read_diff(text + "\n@@ -1,3 +1,2 @@\n" + text):
        assert file.added >= 0


def test_prose() -> None:
    found = blocks("# Head\n\nA `b` c\nd\n\n- one\n- two `x`\n\n```python\n# no heading\n\n```\n\n    indented\n\nend")
    assert [(block.kind, "".join(text for text, _ in block.parts)) for block in found] == [
        ("heading", "Head"),
        ("paragraph", "A b c d"),
        ("item", "one"),
        ("item", "two x"),
        ("code", "# no heading\n"),
        ("code", "indented"),
        ("paragraph", "end"),
    ]
    assert found[1].parts == (("A ", False), ("b", True), (" c d", False))


@given(st.text(alphabet=st.sampled_from("`~#-*1. \nab\t"), max_size=200))
def test_prose_loses_no_letter(text: str) -> None:
    shown = "".join(part for block in blocks(text) for part, _ in block.parts)
    fences = re.compile(r"^ {0,3}(`{3,}|~{3,}).*$", re.MULTILINE)
    assert shown.count("b") >= fences.sub("", text).count("b")


def test_the_picture() -> None:
    result = selected()
    names = class_names(result)
    shown = picture(result, list(names), names)
    assert shown is not None
    assert [column.label for column in shown.columns] == ["before", "A", "B", "C", "D"]
    assert [column.winner for column in shown.columns] == [False, True, False, False, False]
    assert len(shown.rows) == 6
    assert len(shown.cells) == 30
    # trajectory-0 made candidate-0 of class-3, so its script has no vote there, and only there.
    first = [cell for cell in shown.cells if cell.y == shown.rows[0].y]
    assert [cell.own for cell in first] == [False, False, False, True, False]
    assert [cell.symbol for cell in first] == ["✗", "✓", "✓", "✓", "✗"]
    assert "AssertionError" in first[0].title
    assert shown.rows[2].bar == max(row.bar for row in shown.rows)
    assert shown.rows[3].bar == 0
    assert len({(cell.x, cell.y) for cell in shown.cells}) == 30
    assert all(cell.x + 30 <= shown.weights_x for cell in shown.cells)


def test_examples_of_the_issue_are_named_and_barred_nowhere() -> None:
    # The first script is an example that held before, and seeded the first candidate.
    result = selected()
    first, *others = result.scripts
    example = first.model_copy(update={"trajectory": "issue", "valid": False})
    result = result.model_copy(update={"scripts": (example, *others)})
    names = class_names(result)
    shown = picture(result, list(names), names)
    assert shown is not None
    assert shown.rows[0].title.startswith(f"Test script {first.id} from an example of the issue, weight")
    own = [cell.own for cell in shown.cells if cell.y == shown.rows[0].y]
    assert not any(own)
    assert any(cell.own for cell in shown.cells)
    assert [script.guard for script in make_view(result, ()).scripts] == [True, *[False] * len(others)]


def test_no_picture_without_executions() -> None:
    assert picture(selected().model_copy(update={"matrix": ()}), [], {}) is None


def test_a_partial_matrix_is_drawn() -> None:
    result = selected()
    shown = picture(result.model_copy(update={"matrix": result.matrix[:7]}), list(class_names(result)), {})
    assert shown is not None
    assert (len(shown.rows), len(shown.cells)) == (2, 7)


def test_classes_are_named_by_rank_and_the_winner_is_first() -> None:
    assert class_names(selected()) == {"class-1": "A", "class-2": "B", "class-3": "C", "class-4": "D"}
    moved = selected().model_copy(update={"winner": "candidate-5"})
    assert next(iter(class_names(moved))) == "class-2"


def test_many_classes_have_names() -> None:
    one = selected().candidates[0]
    many = tuple(one.model_copy(update={"id": str(n), "class_id": f"k{n}", "rank": n + 1}) for n in range(30))
    names = list(class_names(selected().model_copy(update={"candidates": many, "winner": None})).values())
    assert names[25:28] == ["Z", "AA", "AB"]


def test_the_view_counts_classes() -> None:
    first, *_, last = make_view(selected(), turns()).classes
    assert (first.name, len(first.members), first.own, first.winner) == ("A", 4, 4, True)
    assert (last.rank, last.vetoed, len(last.broken), last.own) == (
        None,
        "It breaks 2 of the repository's tests.",
        2,
        0,
    )


def test_what_found_nothing_is_told_so() -> None:
    """Of requests-1963: two passes that chose nothing were said to disagree, and tests that never ended to pass."""
    result = selected()
    assert result.comparison is not None
    assert result.regression is not None
    open_ = tuple(one.model_copy(update={"choice": None}) for one in result.comparison.passes)
    compared = result.comparison.model_copy(update={"passes": open_, "choice": None})
    tests = result.regression.model_copy(update={"passing": 0, "broken": {}, "note": "They did not end in time."})
    view = make_view(result.model_copy(update={"comparison": compared, "regression": tests}), turns())
    assert view.comparison.startswith("Neither pass found anything to choose by")
    assert view.regression.endswith("nothing came of it. They did not end in time.")
    split = (open_[0], result.comparison.passes[1])
    compared = compared.model_copy(update={"passes": split})
    assert "did not agree" in make_view(result.model_copy(update={"comparison": compared}), turns()).comparison
    more = compared.model_copy(update={"passes": result.comparison.passes * 2, "choice": "class-1"})
    view = make_view(result.model_copy(update={"comparison": more}), turns())
    assert view.comparison.startswith("4 of 4 passes, with the candidates in changing orders, chose class")


def test_trajectories_come_in_the_order_of_stages_and_numbers() -> None:
    one = turns()[0]
    many = [
        one.model_copy(update={"trajectory": f"t-{n}", "stage": stage})
        for n in (10, 2)
        for stage in ("editing", "test_writing")
    ]
    found = [(item.stage, item.name) for item in make_view(selected(), many).trajectories]
    assert found == [("test writing", "t-2"), ("test writing", "t-10"), ("editing", "t-2"), ("editing", "t-10")]


def test_usage_by_stage() -> None:
    rows = {row.name: row for row in stages(selected())}
    assert list(rows) == ["test writing", "editing", "comparison"]
    assert (rows["editing"].cached, rows["editing"].calls) == ("99 %", "13")
    whole = total(selected())
    assert whole is not None
    assert (whole.model_seconds, whole.cached) == ("4 min 42 s", "92 %")


def test_candidates_that_were_not_made() -> None:
    assert saved(selected()) == ""
    stopped = StoppedRecord(made=31, asked=32, chance=0.99999)
    one = selected().model_copy(update={"stopped": stopped})
    assert saved(one) == "31 of at most 32 candidates: the leader is safe (0.999). 1 candidate was not made."
    assert make_view(one, ()).saved == saved(one)
    estimate = SavedRecord(candidates=1, completion_tokens=12_345, money=0.25)
    counted = selected().model_copy(update={"stopped": stopped.model_copy(update={"saved": estimate})})
    assert saved(counted).endswith(
        "1 candidate was not made, which saved about 12\N{NARROW NO-BREAK SPACE}000 completion tokens and $0.25."
    )


def test_the_timeline_follows_the_stages() -> None:
    rows = timeline(selected())
    assert [(row.name, row.wall) for row in rows] == [
        ("environment", "0.9 s"),
        ("model", "6.6 s"),
        ("context", "0.4 s"),
        ("candidates", "1 min 54 s"),
        ("selection", "48 s"),
    ]
    assert max(row.bar for row in rows) == 100.0


def test_the_command_repeats_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BESTPATCH_SELECTION__SHORTLIST", "5")  # what this shell says is not what the run had
    said = command(selected())
    assert said == (
        """BESTPATCH_ENVIRONMENT__INSTALL='["pip install -e ."]' BESTPATCH_SELECTION__COMPARISON_TURNS=4 """
        "BESTPATCH_SELECTION__SHORTLIST=5 "
        "bestpatch solve REPO --base 6b26c86827ec --issue issue.md --model embedded --seed 3 --candidates 12"
    )


def test_the_default_model_is_not_named() -> None:
    result = selected()
    manifest = result.manifest.model_copy(update={"model": "default"})
    assert "--model" not in command(result.model_copy(update={"manifest": manifest}))


def test_probes_are_shown_by_output_the_most_telling_first() -> None:
    result = selected()
    one = result.probes[0]
    names = class_names(result)
    a, b, c = (names[f"class-{n}"] for n in (1, 2, 3))
    view = make_view(result, ())
    assert view.probes == (
        ProbeView(
            "busy_hours([9, 10])", "studio/rooms.py:busy_hours", "raises KeyError", ((f"{a}, {c}", "2"), (b, "1"))
        ),
    )
    split = one.model_copy(update={"call": "f(3)", "outputs": {"class-1": "1", "class-2": "2", "class-3": "3"}})
    many = make_view(result.model_copy(update={"probes": (*[one] * 20, split)}), ())
    assert len(many.probes) == PROBES_SHOWN
    assert many.probes[0].call == "f(3)"
