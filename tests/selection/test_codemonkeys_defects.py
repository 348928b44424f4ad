"""What goes wrong in CodeMonkeys' voting and selection, as cases that must go right here.

Each was found by reading or running its published code (commit 7c35e1a): the stages of cross execution, voting and
the selection state machine.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

from agent.model.scripted import Rule, ScriptedModel
from agent.trajectory import Candidate
from sandbox.base import Limits, Patch
from sandbox.errors import SandboxLost
from sandbox.script import ScriptRun, Verdict
from selection.base import ClassId
from selection.choose import SelectionSettings
from selection.execute import side_by_side
from selection.prompts.comparison import OUTPUT_CHARS
from tests.selection.fakes import BAD, FakeSandbox, candidate, make_script, patch_to
from tests.selection.test_choose import STRONG, chosen
from tests.selection.test_comparison import PRINT

pytestmark = pytest.mark.usefixtures("classes_by_text")

NEITHER = [make_script("a", "assert x == 9")]


def two() -> list[Candidate]:
    return [candidate("0", patch_to(2)), candidate("1", patch_to(1))]


async def test_a_script_that_was_not_seen_failing_has_no_vote(fake: FakeSandbox) -> None:
    # There, fails-before is measured, stored, and never read: a script that always passes votes for everything.
    scripts = [make_script(str(n), "assert x == 2", Verdict.PASSED) for n in range(3)] + [
        make_script("v", "assert x == 1")
    ]
    done = await chosen(fake, two(), scripts)
    assert done.winner == "candidate-1"
    assert [script.id for script in done.matrix.scripts] == ["script-v"]
    assert done.weights["script-0"] == 0


async def test_a_script_does_not_vote_for_its_own_authors_patch(fake: FakeSandbox) -> None:
    # There, each patch is voted for by the script it was made to pass.
    own = [make_script("own", "assert x == 2", author="0"), make_script("own2", "assert x in (2, 7)", author="0")]
    done = await chosen(fake, two(), [*own, make_script("other", "assert x == 1", author="9")])
    assert done.winner == "candidate-1"


async def test_copies_of_a_script_vote_once(fake: FakeSandbox) -> None:
    copies = [make_script(str(n), "assert x == 2") for n in range(5)]
    others = [make_script("a", "assert x == 1"), make_script("b", "assert 0 < x < 2")]
    done = await chosen(fake, two(), [*copies, *others])
    assert done.winner == "candidate-1"
    assert len([source for source, _ in fake.runs if source == "assert x == 2"]) == 2


async def test_a_patch_that_does_not_apply_stops_no_one(fake: FakeSandbox) -> None:
    # There, an unappliable candidate ends the selection stage for all instances.
    done = await chosen(fake, [candidate("bad", BAD), *two()], [make_script("a", "assert x == 1")])
    assert done.winner == "candidate-1"
    assert done.vetoed.keys() == {"c1"}


async def test_no_candidates_are_an_answer(fake: FakeSandbox) -> None:
    assert (await chosen(fake, [])).winner is None


async def test_one_candidate_costs_no_comparison(fake: FakeSandbox) -> None:
    model = ScriptedModel([])
    assert (await chosen(fake, two()[:1], NEITHER, model)).winner == "candidate-0"
    assert model.requests == []


@pytest.mark.parametrize("answer", ["CHOICE: 7", "CHOICE: Z", "CHOICE: -1", "CHOICE: 1.5", "CHOICE: the second"])
async def test_an_invalid_choice_is_no_choice_and_costs_confidence(fake: FakeSandbox, answer: str) -> None:
    # There, an id out of range ends the machine as if it had chosen, and candidate 0 is taken silently.
    done = await chosen(fake, two(), NEITHER, ScriptedModel([Rule(PRINT, turn=0), Rule(answer)], STRONG))
    quiet = await chosen(fake, two(), NEITHER, settings=SelectionSettings(comparison_turns=0))
    assert done.comparison is not None
    assert done.comparison.choice is None
    assert done.winner == quiet.winner
    assert done.confidence < quiet.confidence


async def test_a_choice_quoted_in_a_script_is_not_taken(fake: FakeSandbox) -> None:
    # There, the first literal tag anywhere in the answer is the one that counts.
    trap = "```python\nfrom m import x\nprint(x)\nprint('''\nCHOICE: B\n''')\n```"
    done = await chosen(fake, two(), NEITHER, ScriptedModel([Rule(trap)], STRONG))
    assert done.comparison is not None
    assert {one.choice for one in done.comparison.passes} == {None}


@pytest.mark.parametrize("turns", [1, 2, 5])
async def test_the_limit_of_turns_is_the_limit(fake: FakeSandbox, turns: int) -> None:
    # There, the documented limit is 10 and the one-command pipeline uses 8.
    model = ScriptedModel([Rule(PRINT)], STRONG)
    await chosen(fake, two(), NEITHER, model, SelectionSettings(comparison_turns=turns))
    assert len(model.requests) == 2 * turns


async def test_the_limits_given_are_the_limits_used(fake: FakeSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    # There, a cell may take 600 s where the configuration says 100.
    seen: set[float] = set()

    async def run_script(sandbox: FakeSandbox, source: str, patch: Patch, limits: Limits) -> ScriptRun:
        seen.add(limits.seconds)
        return await sandbox.script(source, patch)

    monkeypatch.setattr("selection.execute.run_script", run_script)
    await chosen(fake, two(), NEITHER, settings=SelectionSettings(limits=Limits(seconds=7.0)))
    assert seen == {7.0}


async def test_one_lost_container_harms_one_cell(fake: FakeSandbox) -> None:
    # There, any exception of the engine ends the stage.
    fake.stumbles = [SandboxLost("gone")] * 4
    scripts = [make_script("a", "assert x == 1"), make_script("b", "assert 0 < x < 2")]
    done = await chosen(fake, two(), scripts, settings=SelectionSettings(parallel=1))
    assert done.matrix.verdict(done.matrix.scripts[0].id, ClassId("c1")) is Verdict.BROKEN
    assert done.winner == "candidate-1"


async def test_a_failure_surfaces_at_once() -> None:
    # There, an error in the first of twenty items surfaced after the nineteen others had run.
    ran: list[int] = []

    async def item(number: int) -> None:
        if number == 0:
            raise ValueError("item 0")
        await anyio.sleep(30)
        ran.append(number)

    def jobs() -> Sequence:
        return [lambda number=number: item(number) for number in range(20)]

    with anyio.fail_after(5), pytest.raises(ValueError, match="item 0"):
        await side_by_side(jobs())
    assert ran == []


async def test_outputs_shown_to_the_model_are_capped_from_the_first_turn(fake: FakeSandbox) -> None:
    flood = "```python\nfrom m import x\nprint(str(x) * 500000)\n```"
    model = ScriptedModel([Rule(flood, turn=0), Rule("A")])
    await chosen(fake, two(), NEITHER, model)
    assert max(len(request.messages[-1].content) for request in model.requests) < 3 * OUTPUT_CHARS + 2_000


def test_prompts_and_order_do_not_depend_on_the_process() -> None:
    # There, file order in the selection prompt and ties in rankings follow Python's per-process set order.
    program = (
        "from tests.selection.fakes import *\n"
        "from agent.model.scripted import SCRIPTED\n"
        "from selection.comparison import shuffled\n"
        "from selection.prompts.comparison import opening\n"
        "classes = [patch_class(f'c{v}', patch_to(v)) for v in range(9)]\n"
        "order = shuffled(classes, 5)\n"
        "print([c.id for c in order], opening(SCRIPTED, {str(n): c.patch for n, c in enumerate(order)}))\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1
