"""Results for tests of the report: a realistic one, and small ones of every status."""

from __future__ import annotations

from harness.result import (
    CandidateRecord,
    CellRecord,
    ComparisonPassRecord,
    ComparisonRecord,
    ComparisonRoundRecord,
    ErrorRecord,
    ExecutionRecord,
    Manifest,
    ProbeRecord,
    RegressionRecord,
    Result,
    ScriptRecord,
    Status,
    TaskRecord,
    TurnRecord,
    UsageRecord,
)

ISSUE = """\
# The report counts too few busy hours when a short booking lies inside a long one

Yesterday the Blue room was booked from 10:00 to 14:00. The Red room was booked from 11:00 to 12:00, so while Blue was
in use anyway. `busy_minutes` should say that the house was busy for four hours, 240 minutes. It says 120.

    >>> merge([Span(600, 840), Span(660, 720)])
    [Span(start=600, end=720)]

I expected `[Span(start=600, end=840)]`.
"""

HEAD = """\
diff --git a/studio/spans.py b/studio/spans.py
index 83db48f..bf269f4 100644
--- a/studio/spans.py
+++ b/studio/spans.py
@@ -33,7 +33,{lines} @@ def merge(spans):
     for span in sorted(spans):
         if merged and span.start <= merged[-1].end:
             last = merged.pop()
"""

TAIL = """\
         else:
             merged.append(span)
     return merged
"""

OLD = "-            merged.append(Span(last.start, span.end))\n"


def patch(*lines: str) -> str:
    """A patch that puts these lines in place of the wrong one."""
    new = "".join(f"+            {line}\n" for line in lines)
    return HEAD.format(lines=6 + len(lines)) + OLD + new + TAIL


RIGHT = patch("merged.append(Span(last.start, max(last.end, span.end)))")
MIN = patch("merged.append(Span(last.start, min(last.end, span.end)))")
LAST = patch("merged.append(Span(last.start, last.end))")
LONG = patch("if span.end > last.end:", "    last = Span(last.start, span.end)", "merged.append(last)")

SCRIPT = """\
from studio.spans import Span, merge

spans = merge([Span(600, 840), Span({start}, 720)])
assert spans == [Span(600, 840)], spans
"""

TRACE = """\
Traceback (most recent call last):
  File "script.py", line 4, in <module>
    assert spans == [Span(600, 840)], spans
           ^^^^^^^^^^^^^^^^^^^^^^^^^^
AssertionError: [Span(start=600, end=720)]
"""


def execution(verdict: str, output: str = "") -> ExecutionRecord:
    """An execution that ended with a verdict."""
    code = {"passed": 0, "failed": 2, "broken": 1, "timed_out": None}[verdict]
    said = output or {"passed": "", "failed": TRACE, "broken": "NameError: name 'House' is not defined"}.get(
        verdict, "…"
    )
    return ExecutionRecord(ended="timed_out" if code is None else "exited", exit_code=code, output=said, seconds=0.31)


CLASSES = {"class-1": RIGHT, "class-2": LONG, "class-3": LAST, "class-4": MIN}
MEMBERS = ("class-3", "class-1", "class-1", "class-4", "class-1", "class-2", "class-3", "class-1")
RANKS = {"class-1": 1, "class-2": 2, "class-3": 3, "class-4": None}
VERDICTS = {
    # script number -> verdicts on unedited, class-1, class-2, class-3, class-4
    0: "fpppf",
    1: "fpppf",
    2: "fppff",
    3: "fbbbb",
    4: "fppft",
    5: "fpppf",
}
NAMES = {"p": "passed", "f": "failed", "b": "broken", "t": "timed_out"}
WEIGHTS = (0.71, 0.71, 1.0, 0.0, 0.93, 0.71)


def candidates() -> tuple[CandidateRecord, ...]:
    votes = {"class-1": 1.0, "class-2": 0.96, "class-3": 0.52, "class-4": 0.0}
    return tuple(
        CandidateRecord(
            id=f"candidate-{number}",
            trajectory=f"trajectory-{number}",
            script=f"script-trajectory-{number}-0" if number < 6 else None,
            patch=CLASSES[name],
            class_id=name,
            passes_own_script=name != "class-4",
            votes=votes[name],
            broken_tests=("tests/test_spans.py::test_merge", "tests/test_rooms.py::test_a_house")
            if name == "class-4"
            else (),
            rank=RANKS[name],
        )
        for number, name in enumerate(MEMBERS)
    )


def scripts() -> tuple[ScriptRecord, ...]:
    return tuple(
        ScriptRecord(
            id=f"script-trajectory-{number}-0",
            trajectory=f"trajectory-{number}",
            source=SCRIPT.format(start=660 + number),
            valid=True,
            weight=WEIGHTS[number],
        )
        for number in VERDICTS
    )


def matrix() -> tuple[CellRecord, ...]:
    return tuple(
        CellRecord(
            script=f"script-trajectory-{number}-0",
            column=column,
            verdict=NAMES[letter],  # pyright: ignore[reportArgumentType]
            execution=execution(NAMES[letter]),
        )
        for number, letters in VERDICTS.items()
        for column, letter in zip(("unedited", *CLASSES), letters, strict=True)
    )


def probes() -> tuple[ProbeRecord, ...]:
    return (
        ProbeRecord(
            id="p1",
            function="studio/rooms.py:busy_hours",
            call="busy_hours([9, 10])",
            origin="issue",
            varied=False,
            outputs={"class-1": "2", "class-2": "1", "class-3": "2"},
            on_unedited="raises KeyError",
        ),
    )


def comparison() -> ComparisonRecord:
    source = "from studio.spans import Span, merge\nprint(merge([Span(0, 100), Span(10, 20), Span(30, 40)]))\n"
    runs = {
        "unedited": execution("passed", "[Span(start=0, end=20), Span(start=30, end=40)]"),
        "class-1": execution("passed", "[Span(start=0, end=100)]"),
        "class-2": execution("passed", "[Span(start=0, end=100)]"),
        "class-3": execution("passed", "[Span(start=0, end=100)]"),
    }
    one = ComparisonRoundRecord(source=source, runs=runs)
    return ComparisonRecord(
        passes=(
            ComparisonPassRecord(
                order=("class-3", "class-1", "class-2"),
                rounds=(one,),
                choice="class-1",
                reason="Candidate 2 keeps the later end in all cases; candidate 1 forgets a span that reaches further.",
            ),
            ComparisonPassRecord(
                order=("class-2", "class-1", "class-3"), rounds=(one, one), choice="class-1", reason="The end is right."
            ),
        ),
        choice="class-1",
    )


def usage(calls: int, prompt: int, cached: int, completion: int, seconds: float) -> UsageRecord:
    return UsageRecord(
        calls=calls,
        prompt_tokens=prompt,
        cached_tokens=cached,
        completion_tokens=completion,
        model_seconds=seconds,
        money=0.0,
    )


def turns() -> tuple[TurnRecord, ...]:
    made: list[TurnRecord] = []
    for number, name in enumerate(MEMBERS):
        made.append(
            TurnRecord(
                stage="test_writing",
                trajectory=f"trajectory-{number}",
                index=0,
                prompt="Write a short Python test script that shows the issue.",
                completion=f"```python\n{SCRIPT.format(start=660 + number)}```",
                finish="stop",
                outcome="script_valid",
                feedback="",
                completion_tokens=74,
                seconds=9.4,
            )
        )
        made.append(
            TurnRecord(
                stage="editing",
                trajectory=f"trajectory-{number}",
                index=0,
                prompt="Solve the issue: find the function that is wrong and write it anew.",
                completion="def merge(spans):\n    return sorted(spans)"
                if name == "class-4"
                else "### studio/spans.py\n…",
                finish="length" if name == "class-4" else "stop",
                outcome="edit_applied" if name == "class-4" else "edit_passed",
                feedback=f"With your edit the test script still fails:\n{TRACE}" if name == "class-4" else "",
                completion_tokens=131,
                seconds=14.2,
            )
        )
    return tuple(made)


MANIFEST = Manifest(
    bestpatch="0.1.0",
    python="3.11.7",
    platform="Linux-6.1-x86_64",
    started="2026-11-22T09:00:00Z",
    seed=3,
    model="embedded",
    profile="small-coder",
    image_digest="sha256:3b1f6a0c9d",
    base_image="python@sha256:77aa01",
    prompts_digest="9f2c77ab01",
    settings={
        "model": "embedded",
        "seed": 3,
        "candidates": 12,
        "edit_turns": None,
        "budget": {"tokens": 5},
        "selection": {"shortlist": 5, "comparison_turns": 4},
        "environment": {"install": ["pip install -e ."], "env": []},
    },
)

TASK = TaskRecord(
    id="studio-6b26c868", repository="studio", base_commit="6b26c86827ecbd04e8993215a4ff8e419060af85", issue=ISSUE
)


def selected() -> Result:
    """A run of eight candidates in four classes that chose class-1."""
    return Result(
        status=Status.SELECTED,
        task=TASK,
        winner="candidate-1",
        patch=RIGHT,
        confidence=0.87,
        reasons=(
            "100 % of the votes are for it, by 5 test scripts of others; the next class reaches 96 %.",
            "Four of 8 candidates made this patch.",
            "It breaks none of the repository's own tests (16 of them passed before).",
            "A comparison of the best candidates chose it twice, in different orders, after 3 executed scripts.",
        ),
        candidates=candidates(),
        scripts=scripts(),
        matrix=matrix(),
        shortlist=("class-1", "class-2", "class-3"),
        vetoed={"class-4": "It breaks 2 of the repository's tests."},
        regression=RegressionRecord(
            command="python -m pytest -q",
            passing=16,
            flaky=(),
            broken={"class-4": ("tests/test_spans.py::test_merge", "tests/test_rooms.py::test_a_house")},
            note="",
        ),
        probes=probes(),
        comparison=comparison(),
        usage={
            "test_writing": usage(9, 19_800, 17_600, 801, 88.0),
            "editing": usage(13, 31_200, 30_900, 1_730, 141.0),
            "comparison": usage(4, 11_100, 8_600, 620, 52.5),
            "total": usage(26, 62_100, 57_100, 3_151, 281.5),
        },
        sandbox_seconds=31.4,
        wall_seconds=164.2,
        stage_seconds={"candidates": 113.5, "environment": 0.9, "model": 6.6, "context": 0.4, "selection": 47.9},
        manifest=MANIFEST,
    )


def without_winner(status: Status, error: ErrorRecord | None = None, *, made: bool = False) -> Result:
    """A run that chose nothing; `made`: it had candidates."""
    full = selected()
    emptied = {
        "status": status,
        "winner": None,
        "patch": "",
        "confidence": 0.22 if made else None,
        "reasons": (),
        "error": error,
    }
    if not made:
        emptied |= {
            "candidates": (),
            "scripts": (),
            "matrix": (),
            "shortlist": (),
            "vetoed": {},
            "regression": None,
            "comparison": None,
            "usage": {},
            "stage_seconds": {},
        }
    return full.model_copy(update=emptied)
