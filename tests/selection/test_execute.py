import anyio
import pytest

from sandbox.base import UNEDITED, Limits
from sandbox.errors import DiskFull, PatchRejected, SandboxLost, SandboxTimeout
from sandbox.script import Verdict
from selection.execute import execute, retried, side_by_side
from tests.selection.fakes import BAD, FakeSandbox, patch_to


async def test_a_lost_sandbox_is_tried_again_and_leaves_no_trace(fake: FakeSandbox) -> None:
    fake.stumbles = [SandboxLost("gone"), SandboxTimeout("slow"), SandboxLost("gone")]
    run = await execute(fake, "assert x == 1", patch_to(1), Limits())
    assert run.verdict is Verdict.PASSED
    assert len(fake.runs) == 4


async def test_a_sandbox_that_stays_lost_is_a_broken_cell_that_says_so(fake: FakeSandbox) -> None:
    fake.stumbles = [SandboxLost("the daemon went away")] * 4
    run = await execute(fake, "assert x == 1", patch_to(1), Limits())
    assert run.verdict is Verdict.BROKEN
    assert run.execution.exit_code is None
    assert "lost 4 times (the daemon went away)" in run.execution.output


async def test_a_refused_patch_is_not_tried_again(fake: FakeSandbox) -> None:
    with pytest.raises(PatchRejected):
        await execute(fake, "assert x == 1", BAD, Limits())
    assert len(fake.runs) == 1


async def test_a_full_disk_ends_everything(fake: FakeSandbox) -> None:
    fake.stumbles = [DiskFull("1 GiB is left")]
    with pytest.raises(DiskFull):
        await execute(fake, "assert x == 1", UNEDITED, Limits())


async def test_retried_raises_what_the_last_try_raised(fake: FakeSandbox) -> None:
    calls = 0

    async def lost() -> None:
        nonlocal calls
        calls += 1
        raise SandboxLost(str(calls))

    with pytest.raises(SandboxLost, match="4"):
        await retried(lost)


async def test_side_by_side_raises_the_first_failure_itself_and_cancels_the_rest() -> None:
    ended: list[str] = []

    async def waits() -> None:
        await anyio.sleep(60)
        ended.append("waited")

    async def fails() -> None:
        raise DiskFull("full")

    with pytest.raises(DiskFull, match="full"):
        await side_by_side([waits, fails])
    assert ended == []
