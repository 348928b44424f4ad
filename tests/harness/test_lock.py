"""A run's directory and the workers of an earlier invocation that may still be in it."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from harness.errors import RunConflict
from harness.lock import WORKERS_NAME, without_workers, worker_lock


async def test_a_run_waits_until_the_last_worker_of_an_earlier_one_is_gone(tmp_path: Path) -> None:
    first, second = worker_lock(tmp_path), worker_lock(tmp_path)
    with pytest.raises(RunConflict, match="worker processes of an earlier run still work in it"):
        await without_workers(tmp_path, seconds=0.02)
    first.close()
    over: list[bool] = []

    async def waits() -> None:
        await without_workers(tmp_path)
        over.append(True)

    async with anyio.create_task_group() as group:
        group.start_soon(waits)
        await anyio.sleep(0.05)
        assert not over
        second.close()
    assert over
    worker_lock(tmp_path).close()  # nothing is held afterwards


async def test_a_run_that_never_had_workers_waits_for_none(tmp_path: Path) -> None:
    await without_workers(tmp_path)
    assert not (tmp_path / WORKERS_NAME).exists()
