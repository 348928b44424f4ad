"""Grading, end to end, with workspaces on this host."""

from __future__ import annotations

import fcntl
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from harness.config import SandboxSettings, Settings
from harness.errors import RunConflict
from harness.evaluation.evaluate import Grading, evaluate
from harness.evaluation.job import Bench, Job
from harness.evaluation.record import Evaluation, Outcome
from harness.instances import Instance, InstanceEnvironment
from sandbox.base import Patch
from sandbox.errors import EngineUnavailable, EnvironmentUnavailable
from tests.harness.evaluation.conftest import ADD, MUL, OLD_TESTS, patch_of
from tests.harness.host_sandbox import HostBackend

pytestmark = pytest.mark.anyio


async def graded(
    instance: Instance, patch: str, run: Path, backend: HostBackend | None = None, **grading: Any
) -> Evaluation:
    job = Job(instance, Patch(patch), "system")
    (found,) = await evaluate([job], Settings(), Grading(**grading), run, backend=backend or HostBackend())
    return found


RESOLVED, UNRESOLVED = Outcome.RESOLVED, Outcome.UNRESOLVED


@pytest.mark.parametrize(
    ("name", "outcome", "said"),
    [
        ("right", RESOLVED, ""),
        ("wrong", UNRESOLVED, "1 of 1 FAIL_TO_PASS failed"),
        ("breaks", UNRESOLVED, "1 of 1 PASS_TO_PASS failed"),
        ("edits_tests", UNRESOLVED, "changes to tests/test_calc.py, a file of the test patch, were discarded"),
        ("fixes_and_edits_tests", RESOLVED, "changes to tests/test_calc.py, a file of the test patch, were discarded"),
        ("removes_tests", RESOLVED, "changes to tests/test_calc.py, a file of the test patch, were discarded"),
        ("folder_for_tests", RESOLVED, "a file of the test patch, were discarded"),
        ("steers", UNRESOLVED, "it passes only with its changes to conftest.py"),
        ("fixes_and_steers", RESOLVED, "it touches conftest.py, which can steer a test run"),
        ("forges", UNRESOLVED, f"the log claims that {ADD} passed"),
        ("forges_and_leaves", UNRESOLVED, "the tests' process was ended before its own end"),
        ("forges_at_exit", UNRESOLVED, f"the log claims that {ADD} passed"),
        ("unapplicable", Outcome.PATCH_REJECTED, ""),
    ],
)
async def test_candidates(
    instance: Instance, candidates: dict[str, str], tmp_path: Path, name: str, outcome: Outcome, said: str
) -> None:
    found = await graded(instance, candidates[name], tmp_path / "run")
    assert found.outcome is outcome, found
    assert said in "; ".join((found.reason, *found.notes))
    if outcome is RESOLVED:
        assert (found.FAIL_TO_PASS.success, found.PASS_TO_PASS.success) == ((ADD,), (MUL,))


async def test_a_patch_that_needs_fuzz(instance: Instance, candidates: dict[str, str], tmp_path: Path) -> None:
    """The official harness takes it, so its author counts on it."""
    moved = candidates["right"].replace('"""The sum."""', '"""The sum of both."""')
    found = await graded(instance, moved, tmp_path / "run")
    assert found.outcome is RESOLVED
    assert "applied with fuzz" in found.notes[0]


async def test_a_patch_whose_last_blank_line_was_stripped(instance: Instance, tmp_path: Path) -> None:
    """Published predictions have such, and the official harness takes them."""
    lines = ["--- a/calc.py", "+++ b/calc.py", "@@ -1,5 +1,5 @@", " def add(a, b):", '     """The sum."""']
    patch = "\n".join([*lines, "-    return a - b", "+    return a + b", " ", ""])  # of two blank lines one is left
    found = await graded(instance, patch, tmp_path / "run")
    assert found.outcome is RESOLVED, found
    assert "applied with fuzz" in found.notes[0]


async def test_steering_files_of_the_gold_patch_are_no_cheat(
    instance: Instance, candidates: dict[str, str], tmp_path: Path
) -> None:
    also_gold = instance.model_copy(update={"patch": candidates["steers"]})
    found = await graded(also_gold, candidates["steers"], tmp_path / "run")
    assert found.outcome is RESOLVED


async def test_instances_take_one_place_each_while_others_wait(
    instance: Instance, candidates: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second place in a sandbox takes longer than these tests; once none is left to begin, it is worth it."""
    inside: Counter[str] = Counter()
    most: dict[str, int] = {}

    async def watched(job: Job, bench: Bench) -> tuple[Evaluation, str]:
        name = job.instance.instance_id
        inside[name] += 1
        most[name] = max(most.get(name, 0), inside[name])
        await anyio.sleep(0.05)
        inside[name] -= 1
        return Evaluation(instance_id=name, system=job.system, outcome=RESOLVED, reason=""), ""

    monkeypatch.setattr("harness.evaluation.evaluate.graded", watched)
    names = ["one", "two", "three"]
    instances = [instance.model_copy(update={"instance_id": name}) for name in names]
    jobs = [Job(each, Patch(candidates[name]), name) for each in instances for name in ("right", "wrong", "breaks")]
    settings = Settings(sandbox=SandboxSettings(parallel=3))
    await evaluate(jobs, settings, Grading(workers=1), tmp_path / "run", backend=HostBackend())
    assert most == {"one": 1, "two": 1, "three": 3}


async def test_an_empty_patch_runs_nothing_unless_it_is_asked_about(instance: Instance, tmp_path: Path) -> None:
    backend = HostBackend()
    assert (await graded(instance, " \n", tmp_path / "run", backend)).outcome is Outcome.EMPTY_PATCH
    assert backend.opened == 0
    job = Job(instance, Patch(""), "unedited", unedited=True)
    (found,) = await evaluate([job], Settings(), Grading(), tmp_path / "run", backend=backend)
    assert (found.outcome, found.FAIL_TO_PASS.failure, found.PASS_TO_PASS.success) == (UNRESOLVED, (ADD,), (MUL,))


def flaky_tests(calc: Path, counter: Path, passing: str) -> str:
    """A test patch whose test_add passes in those runs (`1`) of all, which go on at once: each takes a number."""
    body = (
        "    import itertools\n    for number in itertools.count():\n        try:\n"
        f"            open({str(counter)!r} + str(number), 'x').close()\n            break\n"
        f"        except FileExistsError:\n            pass\n    assert '{passing}'[number] == '1'\n"
    )
    return patch_of(calc, {"tests/test_calc.py": OLD_TESTS + "\n\ndef test_add():\n" + body})


@pytest.mark.parametrize(("passing", "outcome"), [("101", RESOLVED), ("100", UNRESOLVED)])
async def test_flaky_tests_are_told_and_counted_by_majority(
    row: dict[str, Any], calc: Path, write_rows: Any, tmp_path: Path, passing: str, outcome: Outcome
) -> None:
    patch = flaky_tests(calc, tmp_path / "counter", passing)
    instance = Instance.model_validate({**row, "test_patch": patch, "repo_path": str(calc)})
    found = await graded(instance, row["patch"], tmp_path / "run", repeat=3)
    assert found.outcome is outcome
    assert found.flaky == (ADD,)
    assert f"flaky: {ADD}" in found.notes


async def test_what_is_finished_is_not_done_again(
    instance: Instance, candidates: dict[str, str], tmp_path: Path
) -> None:
    backend = HostBackend()
    first = await graded(instance, candidates["wrong"], tmp_path / "run", backend)
    assert (tmp_path / "run" / "evaluation" / first.log).read_text().count("test_add") > 0
    assert await graded(instance, candidates["wrong"], tmp_path / "run", backend) == first
    assert backend.opened == 1
    for other in (
        graded(instance, candidates["right"], tmp_path / "run", backend),
        graded(instance, candidates["wrong"], tmp_path / "run", backend, repeat=2),
        graded(instance.model_copy(update={"PASS_TO_PASS": ()}), candidates["wrong"], tmp_path / "run", backend),
    ):
        await other
    assert backend.opened == 4


async def test_another_environment_is_graded_anew(
    instance: Instance, candidates: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recipe that was wrong must not leave its gradings behind."""
    backend = HostBackend()
    await graded(instance, candidates["right"], tmp_path / "run", backend)

    def no_pytest(_: object) -> bool:
        return False

    monkeypatch.setattr("harness.environments.uses_pytest", no_pytest)
    other = instance.model_copy(update={"environment": InstanceEnvironment(test_cmd="pytest -rA")})
    for _ in range(2):
        await graded(other, candidates["right"], tmp_path / "run", backend)
    assert backend.opened == 2


async def test_equal_patches_are_graded_once(instance: Instance, candidates: dict[str, str], tmp_path: Path) -> None:
    backend = HostBackend()
    jobs = [Job(instance, Patch(candidates["wrong"]), system) for system in ("one", "two")]
    found = await evaluate(jobs, Settings(), Grading(), tmp_path / "run", backend=backend)
    assert [e.system for e in found] == ["one", "two"]
    assert found[0] == found[1].model_copy(update={"system": "one"})
    assert len(list((tmp_path / "run" / "evaluation").glob("*.json"))) == 1


@pytest.mark.parametrize("error", [EnvironmentUnavailable("no image", "the log"), EngineUnavailable("gone")])
async def test_infrastructure_is_tried_again(
    instance: Instance, candidates: dict[str, str], tmp_path: Path, error: Exception
) -> None:
    found = await graded(instance, candidates["right"], tmp_path / "run", HostBackend(error))
    assert (found.outcome, found.reason) == (Outcome.INFRASTRUCTURE, str(error))
    assert (tmp_path / "run" / "evaluation" / found.log).is_file()
    assert (await graded(instance, candidates["right"], tmp_path / "run")).outcome is RESOLVED


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"base_commit": "f" * 40}, "names no commit"),
        ({"test_patch": "--- a/none.py\n+++ b/none.py\n@@ -1 +1 @@\n-a\n+b\n"}, "the test patch does not apply"),
        ({"environment": None}, "knows no test command for acme/calc"),
    ],
)
async def test_a_wrong_instance_touches_no_other(
    instance: Instance, candidates: dict[str, str], tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    wrong = instance.model_copy(update={**change, "instance_id": "acme__calc-2"})
    jobs = [Job(each, Patch(candidates["right"]), "system") for each in (wrong, instance)]
    seen: list[str] = []
    found = await evaluate(
        *(jobs, Settings(), Grading(), tmp_path / "run"),
        backend=HostBackend(),
        seen=lambda evaluation, kept: seen.append(f"{evaluation.instance_id} {kept}"),
    )
    assert [e.outcome for e in found] == [Outcome.INSTANCE_ERROR, RESOLVED], found
    assert said in found[0].reason
    assert sorted(seen) == ["acme__calc-1 False", "acme__calc-2 False"]


async def test_a_defect_of_ours_touches_no_other(
    instance: Instance, candidates: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Callable[..., Any] = evaluate.__globals__["graded"]

    async def broken(job: Job, bench: Any) -> Any:
        if job.system == "bad":
            raise ZeroDivisionError("oh")
        return await real(job, bench)

    monkeypatch.setitem(evaluate.__globals__, "graded", broken)
    jobs = [Job(instance, Patch(candidates[name]), system) for name, system in (("right", "bad"), ("wrong", "good"))]
    found = await evaluate(jobs, Settings(), Grading(), tmp_path / "run", backend=HostBackend())
    assert [e.outcome for e in found] == [Outcome.INFRASTRUCTURE, UNRESOLVED]
    assert "ZeroDivisionError: oh; this is a defect" in found[0].reason


async def test_a_directory_in_use_is_refused(instance: Instance, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    with (run / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(RunConflict, match="--run"):
            await graded(instance, "", run)
