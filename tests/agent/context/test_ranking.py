"""Order by words, rankings read leniently, and a merge without chance."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.context.ranking import lexical_order, merged, read_ranking, terms
from agent.context.sources import Source, is_test, sources
from sandbox.base import RepoPath

PATHS = [RepoPath(path) for path in ("pkg/a.py", "pkg/b.py", "pkg/sub/a.py", "setup.py")]


def file(path: str, text: str) -> Source:
    return Source(RepoPath(path), text, is_test(path))


def test_terms_are_identifiers_and_their_pieces() -> None:
    assert terms("parse_duration HTTPServer") == ["parse_duration", "parse", "duration", "httpserver", "http", "server"]
    assert terms("the file is not") == []


def test_what_the_issue_names_comes_first() -> None:
    files = [
        file("pkg/many.py", "duration = 1\n" * 50),
        file("pkg/clock.py", "def parse_duration(text):\n    return 0\n"),
        file("pkg/other.py", "x = 1\n"),
    ]
    order = [found.path for found, _ in lexical_order("`parse_duration` gives a wrong duration", files)]
    assert order[0] == "pkg/clock.py"
    assert order[-1] == "pkg/other.py"


def test_a_path_or_module_in_the_issue_weighs_more_than_words() -> None:
    files = [file("src/pkg/query.py", "x = 1\n"), file("src/pkg/words.py", "the broken aggregate annotation\n" * 9)]
    for issue in (
        "broken aggregate annotation in src/pkg/query.py",
        "broken aggregate annotation in pkg.query.run()",
    ):
        assert lexical_order(issue, files)[0][0].path == "src/pkg/query.py"


def test_tests_come_after_the_code_they_test() -> None:
    text = "def merge_spans(spans):\n    return spans\n"
    files = [file("a/tests/test_spans.py", text), file("b/spans.py", text)]
    assert [found.path for found, _ in lexical_order("merge_spans is wrong", files)] == [
        "b/spans.py",
        "a/tests/test_spans.py",
    ]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("tests/test_a.py", True),
        ("sklearn/tests/common.py", True),
        ("sympy/core/tests/test_expr.py", True),
        ("django/contrib/admin/tests.py", True),
        ("conftest.py", True),
        ("src/button.test.ts", True),
        ("pkg/a_test.py", True),
        ("django/test/client.py", True),
        ("testing_tools.py", False),
        ("pkg/contest.py", False),
        ("attestation/core.py", False),
    ],
)
def test_tests_are_recognised_at_any_depth(path: str, expected: bool) -> None:
    assert is_test(path) is expected


def test_sources_leave_out_binaries_vendored_and_empty_files() -> None:
    tree = {
        RepoPath("a.py"): b"x = 1\n",
        RepoPath("b.py"): b"\0\1",
        RepoPath("c.py"): b"\n",
        RepoPath("logo.png"): b"png",
        RepoPath("node_modules/x/i.js"): b"x",
        RepoPath("latin.py"): "# caf\u00e9\n".encode("latin-1"),
    }
    assert [source.path for source in sources(tree)] == ["a.py", "latin.py"]


@pytest.mark.parametrize(
    "text",
    [
        '{"files": ["pkg/b.py", "pkg/a.py"]}',
        'I think:\n```json\n["pkg/b.py", "pkg/a.py"]\n```\nThat is all.',
        '{"files": ["./pkg/b.py", "pkg/nowhere.py", "pkg/a.py", "pkg/b.py"]}',
        "1. `pkg/b.py` must change\n2. **pkg/a.py** is needed",
        '{"thoughts": ["first"], "answer": {"must": ["pkg/b.py"], "may": ["pkg/a.py"]}}',
        '{"files": ["pkg/b.py", "pkg/a.py"',
        'Looking at [1] and {x}: {"files": ["pkg/b.py", "pkg/a.py"]} (others are not needed)',
    ],
)
def test_rankings_are_read_in_every_dress(text: str) -> None:
    assert read_ranking(text, PATHS) == ["pkg/b.py", "pkg/a.py"]


@pytest.mark.parametrize("text", ["", "none of them", "[]", '{"files": []}', '["x.py"]', "pkg/a.pyc xpkg/b.py"])
def test_a_ranking_without_known_paths_is_none(text: str) -> None:
    assert read_ranking(text, PATHS) is None


@given(st.text(max_size=200), st.lists(st.sampled_from(PATHS), min_size=1, unique=True))
def test_reading_a_ranking_never_fails_and_never_invents(noise: str, listed: list[RepoPath]) -> None:
    found = read_ranking(noise, PATHS)
    assert found is None or (set(found) <= set(PATHS) and len(set(found)) == len(found))
    assert read_ranking(f"{json.dumps(noise)}\n{json.dumps({'files': listed})}", PATHS) == listed


def test_merging_averages_relative_ranks_and_breaks_ties_by_path() -> None:
    a, b, c, d = PATHS
    assert merged([[a, b], [b, a]]) == [a, b]
    # b: (0 + 0 + 1) / 3, a: (1/2 + 1/2 + 0) / 3, equal; c and d are once last
    assert merged([[b, a], [b, a], [a]]) == [a, b]
    assert merged([[c, d], [c, a], [c]])[0] == c
    assert merged([]) == []


@given(st.lists(st.lists(st.sampled_from(PATHS), min_size=1, unique=True), max_size=5))
def test_merging_does_not_depend_on_the_order_of_rankings(rankings: list[list[RepoPath]]) -> None:
    assert merged(rankings) == merged(rankings[::-1])
    assert set(merged(rankings)) == {path for ranking in rankings for path in ranking}
