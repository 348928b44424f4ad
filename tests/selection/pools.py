"""Pools for tests: written as letters, or drawn by hypothesis."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from agent.trajectory import ISSUE, CandidateId, ScriptId
from sandbox.script import Verdict
from selection.base import ClassId
from selection.draws import Draw, Drawer
from selection.pool import (
    PoolCandidate,
    PoolComparison,
    PoolJudgement,
    PoolPass,
    PoolProbe,
    PoolScript,
    PoolTask,
)

LETTERS = {"P": Verdict.PASSED, "F": Verdict.FAILED, "B": Verdict.BROKEN, "T": Verdict.TIMED_OUT}


def task(
    candidates: str,
    right: str = "",
    *rows: str,
    patches: Sequence[str] = (),
    authors: Sequence[str] = (),
    unedited: str = "",
    id: str = "task",
    source: Sequence[str] = (),
    **more: object,
) -> PoolTask:
    """`candidates`: a class letter each, `-` for none; `right`: letters of the right classes.

    `rows`: a verdict letter for each class in alphabetical order; `unedited`: the verdict before, F unless given;
    candidate i is of trajectory `ti`; `authors`: the scripts' trajectories.
    """
    letters = sorted(set(candidates) - {"-"})
    before = unedited or "F" * len(rows)
    return PoolTask(
        id=id,
        candidates=tuple(
            PoolCandidate(
                id=CandidateId(f"k{n}"),
                source=source[n] if source else "",
                trajectory=f"t{n}",
                class_id=None if c == "-" else ClassId(c),
                patch=patches[n] if patches else "",
                resolved=c in right,
                completion_tokens=100,
            )
            for n, c in enumerate(candidates)
        ),
        scripts=tuple(
            PoolScript(
                id=ScriptId(f"s{n}"),
                trajectory=authors[n] if authors else "",
                unedited=LETTERS[before[n]],
                completion_tokens=10,
            )
            for n in range(len(rows))
        ),
        cells={
            ScriptId(f"s{n}"): {ClassId(c): LETTERS[v] for c, v in zip(letters, row, strict=True)}
            for n, row in enumerate(rows)
            if row
        },
        **more,  # type: ignore[arg-type]
    )


def whole(of: PoolTask) -> Draw:
    """The draw of everything, in the pool's order."""
    drawer = Drawer(of)
    return drawer.draw(range(drawer.size), drawer.free)


@st.composite
def pool_tasks(draw: st.DrawFn, name: str = "task") -> PoolTask:
    """Any task, with every signal there may be."""
    candidates = draw(st.text("abc-", min_size=1, max_size=6))
    classes = [ClassId(c) for c in sorted(set(candidates) - {"-"})]
    authors = st.sampled_from(["", ISSUE, *(f"t{n}" for n in range(len(candidates)))])
    rows = draw(st.lists(st.text("PFB", min_size=len(classes), max_size=len(classes)), max_size=4))
    verdicts = draw(st.text("FP", min_size=len(rows), max_size=len(rows)))
    lines = st.lists(st.sampled_from(["+x = 1", "+x = 2", "-y", " z"]), max_size=3).map("\n".join)
    made = task(
        candidates,
        draw(st.text("abc", max_size=2)),
        *rows,
        patches=[draw(lines) for _ in candidates],
        authors=[draw(authors) for _ in rows],
        unedited=verdicts,
        id=name,
        source=[draw(st.sampled_from(["one", "two"])) for _ in candidates],
    )
    pair = st.tuples(st.sampled_from(classes), st.sampled_from(classes), st.floats(0, 1)) if classes else st.nothing()
    return made.model_copy(
        update={
            "passing": 3,
            "broken": {c: draw(st.integers(0, 3)) for c in classes},
            "probes": tuple(
                PoolProbe(id=f"p{n}", outputs={c: draw(st.sampled_from("xy")) for c in classes})
                for n in range(draw(st.integers(0, 2)))
            ),
            "judgements": tuple(
                PoolJudgement(first=a, second=b, probability=p)
                for a, b, p in (draw(st.lists(pair, max_size=4)) if classes else [])
                if a != b
            ),
            "comparisons": tuple(
                PoolComparison(
                    classes=tuple(classes),
                    single=single,
                    passes=tuple(
                        PoolPass(named=named, choice=named if counts else None)
                        for named, counts in draw(st.lists(st.tuples(st.sampled_from(classes), st.booleans())))
                    ),
                )
                for single in (True, False)
                if classes
            ),
        }
    )
