"""The page of a study: what it says, that strangers' text stays text, and that a browser opens it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.report.study import make_page, render_study
from harness.report.study_text import markdown
from selection.base import ClassId
from selection.study import Size, StudyRecord, StudySettings, study
from tests.harness.test_report import opened
from tests.selection.pools import task

HOSTILE = "<script src=//asset.invalid>|x"


@pytest.fixture(scope="module")
def record() -> StudyRecord:
    tasks = [
        task("aabbcc-d", "a", "PFFF", "PPFF", id="1", source=[HOSTILE, *["y"] * 7]),
        task("abbbcccd", "ab", "PFPF", "FPFF", id="2", source=["x", *["y"] * 7], broken={ClassId("d"): 2}, passing=9),
    ]
    return study(tasks, StudySettings((Size(2, 1), Size(8, 2)), draws=4, allocate=True), notes=(HOSTILE,))


def test_a_variant_of_bestpatch_is_no_rival_of_its() -> None:
    said = {"classes": ["a", "b"], "single": False, "passes": [{"named": "b", "choice": "b"}] * 2}
    tasks = [
        task("aab", "b", "FF", "FF", id="1", patches="xyz", comparisons=[said]),
        task("aab", "a", "PF", id="2", patches="xyz"),
    ]
    record = study(tasks, StudySettings((Size(3, 2),)))
    scores = {method.name: method.score or 0.0 for method in record.sizes[0].methods}
    assert scores["ours-compared"] == max(scores.values()) > scores["ours"]
    assert "its comparison" not in make_page(record).headline


def test_the_page_has_every_size_and_chart(record: StudyRecord) -> None:
    page = make_page(record)
    assert [size.anchor for size in page.sizes] == ["n2", "n8"]
    assert all(size.picture and size.reliability and size.abstention for size in page.sizes)
    assert page.coverage
    assert page.stopping
    assert page.split
    html = render_study(record)
    assert html == render_study(record)
    assert html.count("<svg") == 2 * 3 + 2
    assert re.fullmatch(r"bestpatch recovers .* at 8 candidates; (next|better) is .*", page.headline)


def test_bars_stand_in_the_order_of_scores(record: StudyRecord) -> None:
    picture = make_page(record).sizes[1].picture
    assert picture
    assert [bar.x for bar in picture.bars] == sorted((bar.x for bar in picture.bars), reverse=True)
    assert all(bar.low <= bar.high for bar in picture.bars)


def test_text_of_strangers_stays_text(record: StudyRecord) -> None:
    html, text = render_study(record), markdown(record)
    assert html.count("<script") == 1
    assert "<script src" not in html
    assert "\\|x" in text


def test_a_pool_without_a_gap_is_told() -> None:
    plain = study([task("aa", "a")], StudySettings((Size(2, 1),)))
    page = make_page(plain)
    assert page.headline.startswith("There is no gap to recover")
    assert page.sizes[0].picture is None
    assert "n/a" in markdown(plain)


@pytest.mark.browser
def test_a_browser_opens_it_without_a_complaint(record: StudyRecord, tmp_path: Path) -> None:
    headings = opened(render_study(record), tmp_path).headings
    assert any(re.match("8 candidates", heading) for heading in headings)
    assert {"Coverage by candidates", "When to stop sampling", "Split over sources"} <= set(headings)
