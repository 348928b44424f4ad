"""Holds on names: who excludes whom, what a dead process leaves, and what counts as use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.holds import Hold, Holds

TAG = "bestpatch/env:1"


@pytest.fixture
def holds(tmp_path: Path) -> Holds:
    return Holds(tmp_path / "made" / "when" / "needed")


def held(hold: Hold | None) -> Hold:
    assert hold is not None
    return hold


def test_many_use_an_image_and_none_of_them_can_have_it_removed(holds: Holds) -> None:
    one, two = held(holds.take(TAG)), held(holds.take(TAG))
    assert holds.take(TAG, exclusive=True) is None
    one.release()
    one.release()
    assert holds.take(TAG, exclusive=True) is None
    two.release()
    alone = held(holds.take(TAG, exclusive=True))
    assert holds.take(TAG) is None
    assert held(holds.take(TAG + "0")) is not None, "another name is another matter"
    alone.release()
    held(holds.take(TAG)).release()


def test_a_hold_ends_with_its_process(holds: Holds, tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from sandbox.holds import Holds; "
        f"hold = Holds(Path(sys.argv[1])).take({TAG!r}); print('held', flush=True); time.sleep(600)"
    )
    folder = str(tmp_path / "made" / "when" / "needed")
    with subprocess.Popen(
        [sys.executable, "-c", program, folder], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        assert holds.take(TAG, exclusive=True) is None
        process.kill()
    held(holds.take(TAG, exclusive=True)).release()


def test_only_use_is_use(holds: Holds, tmp_path: Path) -> None:
    assert holds.used(TAG) is None
    held(holds.take(TAG, exclusive=True)).release()
    assert holds.used(TAG) is None, "looking whether somebody uses it is no use"
    using = held(holds.take(TAG))
    (file,) = (path for path in tmp_path.rglob("*") if path.is_file())
    os.utime(file, (1000, 1000))
    assert holds.used(TAG) == 1000
    using.release()
    assert (holds.used(TAG) or 0) > 1000, "it was in use until now"
    os.utime(file, (1000, 1000))
    held(holds.take(TAG, exclusive=True)).release()
    assert holds.used(TAG) == 1000


def test_what_is_forgotten_can_be_taken_anew(holds: Holds, tmp_path: Path) -> None:
    held(holds.take(TAG)).release()
    held(holds.take(TAG, exclusive=True)).forget()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert holds.used(TAG) is None
    one = held(holds.take(TAG))
    assert holds.take(TAG, exclusive=True) is None
    one.release()


def test_a_hold_on_a_file_that_was_forgotten_meanwhile_is_no_hold(
    holds: Holds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between opening the file and locking it, its last holder may have removed it, and another made a new one."""
    import fcntl

    alone = held(holds.take(TAG, exclusive=True))
    others: list[Hold] = []
    real = fcntl.flock

    def late(descriptor: int, how: int) -> None:
        monkeypatch.setattr("sandbox.holds.fcntl.flock", real)
        alone.forget()
        others.append(held(holds.take(TAG, exclusive=True)))
        real(descriptor, how)

    monkeypatch.setattr("sandbox.holds.fcntl.flock", late)
    assert holds.take(TAG) is None
    assert len(others) == 1
