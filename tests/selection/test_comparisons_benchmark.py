"""`benchmarks/comparisons.py`: what is put before the comparison, and what is kept of it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from agent.model.scripted import Rule, ScriptedModel
from sandbox.base import Limits
from selection.base import ClassId
from selection.methods import METHODS
from selection.pool import PoolTask
from selection.study.scores import tally
from tests.harness.report_fixture import selected
from tests.selection.fakes import FakeSandbox, context, patch_class, patch_to, task
from tests.selection.pools import task as pool_task
from tests.selection.test_comparison import PRINT, letter_of

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))  # solving.py takes it away again
from comparisons import Ground, classes_of, compared, drop_half_a_line, probes_of, shortlists, shown

from selection.draws import Drawer

A, B = ClassId("c1"), ClassId("c2")
BOTH = frozenset({A, B})


@pytest.fixture
def ground(fake: FakeSandbox) -> Ground:
    classes = {c: patch_class(c, patch_to(value)) for c, value in ((A, 1), (B, 2))}
    return Ground(task(), fake, context(), Limits(), classes, ())


def pool() -> PoolTask:
    """Three classes that scripts leave open, one that all of them reject."""
    return pool_task("aabbcd", "a", "PPPF", "PPFF", "FFFF", patches=list("uvwxyz"), authors=["t0", "t2", "t4"])


def test_every_draw_of_the_study_finds_its_comparisons() -> None:
    made = pool()
    asked = shortlists(made, [2, 4], 20, 0)
    assert len(set(asked)) == len(asked)
    assert {single for _, single in asked} == {True, False}
    assert all(2 <= len(among) <= 3 for among, _ in asked)
    names = [name for name, method in METHODS.items() if method.asks]
    done = PoolTask.model_validate(made.model_dump() | {"comparisons": [_decided(c, s) for c, s in asked]})
    for size in (2, 4):
        found = tally(names, size, size, 20, 0, Drawer(done)).compared
        assert all(one.recorded == one.asked > 0 for one in found.values())


def _decided(among: frozenset[ClassId], single: bool) -> dict[str, object]:
    classes = sorted(among)
    return {"classes": classes, "single": single, "passes": [{"named": classes[0], "choice": classes[0]}]}


async def test_a_comparison_is_kept_with_what_it_cost(ground: Ground) -> None:
    model = ScriptedModel([Rule(PRINT, turn=0), Rule(letter_of(2), turn=1)])
    done = await compared(ground, (BOTH, False), model, 4, 0)
    assert done is not None
    assert (done.classes, done.single) == ((A, B), False)
    assert [(one.named, one.choice, one.executions) for one in done.passes] == [(B, B, 3)] * 2
    assert all(one.completion_tokens > 0 for one in done.passes)
    alone = await compared(ground, (BOTH, True), model, 4, 0)
    assert alone is not None
    assert len(alone.passes) == 1


async def test_what_the_model_fails_in_is_left_out_and_counted(
    ground: Ground, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = await compared(ground, (BOTH, True), ScriptedModel([]), 4, 0)
    assert failed is None
    done = await compared(ground, (BOTH, True), ScriptedModel([Rule(PRINT, turn=0), Rule("A")]), 4, 0)
    shown([failed, done], 2.0)
    assert capsys.readouterr().out.splitlines()[-1].startswith("| 1 | 1 | 1 | 1.000 | 1.000 | 0 |")


def test_a_run_that_was_killed_goes_on_after_its_last_whole_line(tmp_path: Path) -> None:
    out = tmp_path / "comparisons.jsonl"
    drop_half_a_line(out)
    assert not out.exists()
    for left, kept in (
        ("", ""),
        ('{"id": "a"}\n', '{"id": "a"}\n'),
        ('{"id": "a"}\n{"id"', '{"id": "a"}\n'),
        ("{", ""),
    ):
        out.write_text(left)
        drop_half_a_line(out)
        assert out.read_text() == kept


def test_classes_and_probes_are_those_of_the_run() -> None:
    result = selected()
    classes = classes_of(result)
    assert set(classes) == {made.class_id for made in result.candidates if made.class_id}
    first = next(made for made in result.candidates if made.class_id)
    assert classes[ClassId(str(first.class_id))].patch == first.patch
    assert [(one.call, dict(one.outputs)) for one in probes_of(result)] == [(p.call, p.outputs) for p in result.probes]
