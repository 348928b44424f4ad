"""The report as a page: what it says, that hostile text stays text, and that a browser opens it without a complaint."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from harness.report import render
from harness.result import ErrorRecord, Result, Status
from tests.harness.report_fixture import ISSUE, RIGHT, execution, selected, turns, without_winner

HOSTILE = (
    "</pre></script><script>alert(1)</script><img src=http://asset.invalid/x.png onerror=alert(2)>\"'>"
    "<svg onload=alert(3)>"
    "</title></style>{{ 7 * 7 }}{% raw %}\x1b[31mred\x1b[0m\x1b]0;title\x07\u202eback\u2066\x00&lt;"
)


class Page(HTMLParser):
    """What a parser finds in the page: tags with their attributes, and the text outside of style and script."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.headings: list[str] = []
        self._inside = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "span":  # the sign in the first heading
            self._inside = tag

    def handle_data(self, data: str) -> None:
        if self._inside not in ("style", "script"):
            self.text += data
        if self._inside == "h2" and len(data.strip()) > 1:
            self.headings.append(data.strip())

    def handle_endtag(self, tag: str) -> None:
        if tag != "span":
            self._inside = ""

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


def test_the_page_has_everything_in_order() -> None:
    page = Page(render(selected(), turns()))
    assert page.headings == [
        "A patch was chosen",
        "The issue",
        "The patch",
        "Why this one",
        "The vote matrix",
        "Test scripts",
        "Probes",
        "The comparison",
        "All candidates",
        "Trajectories",
        "Usage",
        "Repeat this run",
    ]
    for fact in ("0.87", "8 in 4 classes", "2 min 44 s", "92 %", "studio @ 6b26c86827", "$0"):
        assert fact in page.text
    assert "Four of 8 candidates made this patch." in page.text
    assert "--seed 3" in page.text
    assert "busy_minutes" in page.text


def test_it_is_the_same_every_time_and_turns_come_in_any_order() -> None:
    assert render(selected(), turns()) == render(selected(), turns()[::-1])


def test_the_patch_can_be_copied_as_it_is() -> None:
    patch = RIGHT + "\\ No newline at end of file\n"
    html = render(selected().model_copy(update={"patch": patch}), ())
    inside = re.search(r'<pre class="code" id="patch-text">(.*?)</pre>', html, re.DOTALL)
    assert inside is not None
    # A parser drops one newline directly after <pre>, which is why the template writes one.
    assert inside[1].startswith("\n")
    assert Page(inside[1].removeprefix("\n")).text == patch


def hostile() -> tuple[Result, tuple[object, ...]]:
    full = selected()
    candidates = [
        item.model_copy(
            update={
                "trajectory": HOSTILE,
                "patch": item.patch + HOSTILE,
                "broken_tests": (HOSTILE,),
                "id": f"{n}{HOSTILE}",
            }
        )
        for n, item in enumerate(full.candidates)
    ]
    scripts = [item.model_copy(update={"source": HOSTILE, "trajectory": HOSTILE}) for item in full.scripts]
    cells = [item.model_copy(update={"execution": execution(item.verdict, HOSTILE)}) for item in full.matrix]
    assert full.comparison is not None
    passes = [item.model_copy(update={"reason": HOSTILE}) for item in full.comparison.passes]
    result = full.model_copy(
        update={
            "task": full.task.model_copy(update={"issue": f"# {HOSTILE}\n\n{HOSTILE}", "repository": HOSTILE}),
            "winner": candidates[1].id,
            "patch": candidates[1].patch,
            "reasons": (HOSTILE,),
            "candidates": tuple(candidates),
            "scripts": tuple(scripts),
            "matrix": tuple(cells),
            "vetoed": {"class-4": HOSTILE},
            "probes": tuple(
                one.model_copy(
                    update={
                        "call": HOSTILE,
                        "function": HOSTILE,
                        "on_unedited": HOSTILE,
                        "outputs": {HOSTILE: HOSTILE, "class-1": HOSTILE},
                    }
                )
                for one in full.probes
            ),
            "comparison": full.comparison.model_copy(update={"passes": tuple(passes)}),
            "manifest": full.manifest.model_copy(update={"model": HOSTILE, "settings": {HOSTILE: HOSTILE}}),
        }
    )
    said = [
        turn.model_copy(
            update={
                "prompt": HOSTILE,
                "completion": HOSTILE,
                "feedback": HOSTILE,
                "trajectory": HOSTILE,
                "stage": HOSTILE,
            }
        )
        for turn in turns()
    ]
    return result, tuple(said)


def test_hostile_text_stays_text() -> None:
    result, said = hostile()
    html = render(result, said)  # type: ignore[arg-type]
    page, plain = Page(html), Page(render(selected(), turns()))
    assert page.count("script") == plain.count("script") == 1
    assert page.count("img") == 0
    assert page.count("style") == 1
    assert all(not name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert "alert(1)" in page.text
    assert "{{ 7 * 7 }}" in page.text
    # Escaped in every place: the page holds the text many times, and never as a tag.
    assert html.count("<script>alert") == 0
    assert html.count("&lt;script&gt;alert(1)") > 50


def test_control_sequences_are_not_shown() -> None:
    result, said = hostile()
    shown = Page(render(result, said)).text  # type: ignore[arg-type]
    assert shown.count(result.patch) == 1
    shown = shown.replace(result.patch, "")  # the patch for `git apply` is byte for byte
    assert not re.search("[\x00\x07\x1b\u202e\u2066]", shown)
    assert "red" in shown


@pytest.mark.parametrize("place", ["output", "completion", "issue"])
def test_huge_texts_are_capped(place: str) -> None:
    huge = "x" * 5_000_000
    result, said = selected(), list(turns())
    if place == "output":
        cells = tuple(cell.model_copy(update={"execution": execution("failed", huge)}) for cell in result.matrix)
        result = result.model_copy(update={"matrix": cells})
    elif place == "completion":
        said[0] = said[0].model_copy(update={"completion": huge})
    else:
        result = result.model_copy(update={"task": result.task.model_copy(update={"issue": huge})})
    html = render(result, said)
    assert len(html) < 600_000
    assert "characters left out" in html


def test_a_huge_patch_is_left_to_its_file() -> None:
    patch = RIGHT + "+" * 300_000
    html = render(selected().model_copy(update={"patch": patch}), ())
    assert len(html) < 300_000
    assert "patch.diff" in html


@pytest.mark.parametrize(
    ("result", "says", "advises"),
    [
        (without_winner(Status.NO_CANDIDATE), "No candidate", "--candidates"),
        (without_winner(Status.ABSTAINED, made=True), "No patch is trusted enough", "--min-confidence"),
        (without_winner(Status.INTERRUPTED), "Interrupted", "same --out"),
        (without_winner(Status.INTERRUPTED, made=True), "Interrupted", "same --out"),
        (without_winner(Status.BUDGET_SPENT), "The budget was spent", "higher --budget"),
        (
            without_winner(
                Status.FAILED,
                ErrorRecord(kind="EnvironmentUnavailable", message="The image cannot be built.", log="E: no pip"),
            ),
            "The image cannot be built.",
            "bestpatch doctor",
        ),
        (without_winner(Status.FAILED), "The run failed", "bestpatch doctor"),
    ],
    ids=lambda value: value.status if isinstance(value, Result) else "",
)
def test_every_status_says_what_happened_and_what_to_do(result: Result, says: str, advises: str) -> None:
    page = Page(render(result, ()))
    assert says in page.text
    assert advises in page.text
    assert "Why this one" not in page.text
    assert "The issue" in page.text
    assert ("How the candidates stand" in page.text) == bool(result.candidates)


def test_candidates_of_an_interrupted_run_are_shown() -> None:
    full = without_winner(Status.INTERRUPTED, made=True)
    loose = tuple(item.model_copy(update={"class_id": None, "rank": None}) for item in full.candidates)
    page = Page(render(full.model_copy(update={"candidates": loose, "matrix": (), "comparison": None}), ()))
    assert "The candidates" in page.headings
    assert "max(last.end, span.end)" in page.text
    assert "candidate-7" in page.text


def test_a_thin_choice_warns() -> None:
    page = Page(render(selected().model_copy(update={"confidence": 0.2}), ()))
    assert "The evidence is thin" in page.text


def test_the_page_loads_nothing_and_runs_only_what_its_policy_names() -> None:
    page = Page(render(selected(), turns()))
    policy = next(attributes["content"] for tag, attributes in page.tags if attributes.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for tag, attributes in page.tags:
        assert tag not in ("img", "iframe", "object", "embed", "form", "base", "audio", "video")
        assert "src" not in attributes
        assert "style" not in attributes
        if "href" in attributes:
            assert (attributes["href"] or "").startswith(("#", "data:,"))


BROWSER = (
    "--headless",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--enable-logging=stderr",
    "--v=0",
)


def opened(html: str, folder: Path) -> Page:
    """The page as a browser builds it, which complained of nothing and was asked for nothing by it."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    assert browser, (
        "no Chromium was found on PATH; the set-up of `make test` installs it (Debian: apt-get install chromium)"
    )
    file, log = folder / "page.html", folder / "net.json"
    file.write_text(html, "utf-8")
    profile = f"--user-data-dir={folder / 'profile'}"
    done = subprocess.run(
        [browser, *BROWSER, profile, f"--log-net-log={log}", "--dump-dom", file.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    # The page's own console: script errors and what the content security policy refused.
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    requested = log.read_text("utf-8")
    assert file.as_uri() in requested
    # The browser asks its maker's servers for things of its own; those of the page would stand in the page.
    assert "asset.invalid" not in requested
    assert {url for url in re.findall(r'"url":"((?:https?|file|blob|ftp):[^"]*)"', requested) if url in html} == set()
    return Page(done.stdout)


@pytest.mark.browser
@pytest.mark.parametrize("kind", ["plain", "hostile"])
def test_a_browser_opens_it_without_a_complaint(kind: str, tmp_path: Path) -> None:
    result, said = hostile() if kind == "hostile" else (selected(), turns())
    dom = opened(render(result, said), tmp_path)  # type: ignore[arg-type]
    for heading in ("A patch was chosen", "The issue", "The patch", "The vote matrix", "Trajectories"):
        assert heading in dom.headings
    assert dom.count("script") == 1
    if kind == "plain":
        assert ISSUE.splitlines()[0].lstrip("# ") in dom.text
