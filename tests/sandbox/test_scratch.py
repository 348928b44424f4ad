"""Temporary folders: gone afterwards, and told apart when their process was killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox import scratch


def killed_with_a_folder(place: Path) -> Path:
    """A process that is killed while it has a temporary folder."""
    program = (
        "import sys, time; from pathlib import Path; from sandbox.scratch import scratch_folder\n"
        "with scratch_folder(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'data').write_bytes(b'x' * 100_000); print(folder, flush=True); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(place)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    ) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().decode().strip())
        assert scratch.left_behind([place]) == [], "it lives"
        process.kill()
    return folder


def test_a_folder_is_gone_afterwards(tmp_path: Path) -> None:
    with scratch.scratch_folder(tmp_path) as folder:
        assert folder.parent == tmp_path
        assert scratch.left_behind([tmp_path]) == []
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_found_and_removed(tmp_path: Path) -> None:
    (tmp_path / "bestpatch-of-somebody-else").mkdir()
    (tmp_path / "bestpatch-000000.1.1-other-machine").mkdir()
    folder = killed_with_a_folder(tmp_path)
    assert scratch.left_behind([tmp_path, tmp_path / "none"]) == [folder]
    assert scratch.bytes_of(folder) >= 100_000
    scratch.remove(folder)
    assert scratch.left_behind([tmp_path]) == []
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_what_another_user_left_stays(tmp_path: Path) -> None:
    folder = killed_with_a_folder(tmp_path)
    os.chown(folder, 1234, 1234)
    assert scratch.left_behind([tmp_path]) == []


def test_a_link_is_removed_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    scratch.remove(tmp_path / "link")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
