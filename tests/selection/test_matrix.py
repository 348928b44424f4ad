from dataclasses import replace

import pytest

from agent.trajectory import ISSUE
from sandbox.base import Limits
from sandbox.errors import DiskFull, SandboxLost
from sandbox.script import Verdict
from selection.base import UNEDITED_TREE, ClassId
from selection.matrix import Filled, examples_passed, vote_matrix, voters
from tests.selection.fakes import BAD, FakeSandbox, ListRecorder, make_script, patch_class, patch_to


async def filled(fake: FakeSandbox, scripts, classes, parallel: int = 2) -> Filled:
    return await vote_matrix(scripts, classes, fake, Limits(), parallel, ListRecorder())


async def test_every_valid_script_on_every_class(fake: FakeSandbox) -> None:
    scripts = [make_script("a", "assert x == 1"), make_script("b", "assert x > 1")]
    classes = [patch_class("c1", patch_to(1)), patch_class("c2", patch_to(2))]
    matrix = (await filled(fake, scripts, classes)).matrix
    table = {(s, c): run.verdict for (s, c), run in matrix.cells.items() if c != UNEDITED_TREE}
    assert table == {
        ("script-a", "c1"): Verdict.PASSED,
        ("script-a", "c2"): Verdict.FAILED,
        ("script-b", "c1"): Verdict.FAILED,
        ("script-b", "c2"): Verdict.PASSED,
    }


async def test_the_known_run_on_the_unedited_tree_is_not_repeated(fake: FakeSandbox) -> None:
    script = make_script("a", "assert x == 1")
    matrix = (await filled(fake, [script], [patch_class("c1", patch_to(1))])).matrix
    assert matrix.cells[script.id, UNEDITED_TREE] is script.on_unedited
    assert fake.runs == [("assert x == 1", patch_to(1))]


async def test_equal_sources_run_once_and_each_has_its_row(fake: FakeSandbox) -> None:
    scripts = [make_script(name, "assert x == 1") for name in "abc"]
    matrix = (await filled(fake, scripts, [patch_class("c1", patch_to(1))])).matrix
    assert len(fake.runs) == 1
    assert {matrix.verdict(script.id, ClassId("c1")) for script in scripts} == {Verdict.PASSED}


async def test_executions_stay_within_the_limit(fake: FakeSandbox) -> None:
    scripts = [make_script(str(number), f"assert x == {number}") for number in range(6)]
    await filled(fake, scripts, [patch_class(f"c{v}", patch_to(v)) for v in range(1, 4)], parallel=3)
    assert fake.most_in_flight == 3
    assert len(fake.runs) == 18


async def test_a_refused_patch_is_named_and_stops_no_other(fake: FakeSandbox) -> None:
    scripts = [make_script("a", "assert x == 1"), make_script("b", "assert x")]
    done = await filled(fake, scripts, [patch_class("bad", BAD), patch_class("good", patch_to(1))])
    assert done.rejected == {"bad": "its patch does not apply: corrupt patch at line 1"}
    assert done.matrix.verdict(scripts[0].id, ClassId("good")) is Verdict.PASSED
    assert {done.matrix.verdict(s.id, ClassId("bad")) for s in scripts} == {Verdict.BROKEN}
    assert "corrupt patch" in done.matrix.cells[scripts[1].id, ClassId("bad")].execution.output


async def test_a_cell_that_stays_lost_says_why_and_the_rest_is_filled(fake: FakeSandbox) -> None:
    fake.stumbles = [SandboxLost("restarting")] * 4
    scripts = [make_script("a", "assert x == 1"), make_script("b", "assert x")]
    matrix = (await filled(fake, scripts, [patch_class("c1", patch_to(1))], parallel=1)).matrix
    assert "restarting" in matrix.cells[scripts[0].id, ClassId("c1")].execution.output
    assert matrix.verdict(scripts[1].id, ClassId("c1")) is Verdict.PASSED


async def test_progress_is_told(fake: FakeSandbox) -> None:
    recorder = ListRecorder()
    classes = [patch_class("c1", patch_to(1)), patch_class("c2", patch_to(2))]
    await vote_matrix([make_script("a", "assert x == 1")], classes, fake, Limits(), 1, recorder)
    assert recorder.stages == [("matrix", 0, 2), ("matrix", 1, 2), ("matrix", 2, 2)]


def test_voters_are_the_scripts_that_code_has_seen_fail() -> None:
    scripts = [
        make_script("seen", "assert x"),
        make_script("said", "assert not x", Verdict.PASSED),
        make_script("broken", "1/0", Verdict.BROKEN),
        make_script("invalid", "assert x", valid=False),
        make_script("seen", "assert x"),
    ]
    assert [script.id for script in voters(scripts)] == ["script-seen"]


async def test_a_full_disk_is_raised_as_itself(fake: FakeSandbox) -> None:
    fake.stumbles = [DiskFull("full")]
    with pytest.raises(DiskFull):
        await filled(fake, [make_script("a", "assert x")], [patch_class("c1", patch_to(1))])


async def test_guards_vote_and_examples_are_counted(fake: FakeSandbox) -> None:
    valid = replace(make_script("a", "assert x == 1"), trajectory=ISSUE)
    held = replace(make_script("b", "assert x < 2"), trajectory=ISSUE, valid=False)
    held = replace(held, on_unedited=replace(held.on_unedited, verdict=Verdict.PASSED))
    guard = replace(held, guard=True)
    assert voters([valid, held]) == (valid,)
    assert voters([replace(guard, on_unedited=valid.on_unedited)]) == ()
    own = make_script("c", "assert x")
    classes = [patch_class("c1", patch_to(1)), patch_class("c2", patch_to(2))]
    made = (await filled(fake, [own, valid, guard], classes)).matrix
    assert made.scripts == (own, valid, guard)
    assert examples_passed(made, ClassId("c1")) == (2, 2)
    assert examples_passed(made, ClassId("c2")) == (0, 2)
