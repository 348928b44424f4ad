"""The benchmark of sandboxes: its arithmetic, its tables, its repository and what it counts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import anyio.lowlevel
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

sys.path.append(str(BENCHMARKS))  # last, so that nothing there stands for a package
import leaks  # noqa: E402
from big_tree import IMPORTED, big_tree, module_to_import, read_tree, write_tree  # noqa: E402
from figures import above, efficiency, slope, spread, table  # noqa: E402
from leaks import Held, held_table, most_rss  # noqa: E402
from overhead import BARE, in_rounds, overhead_table  # noqa: E402
from sandboxes import arguments  # noqa: E402
from vote_cells import Bare, calibrated, matrix_table, script_source  # noqa: E402
from ways import Wrong, bare, host_environment  # noqa: E402


def test_the_quartiles() -> None:
    found = spread([5.0, 1.0, 2.0, 4.0, 3.0])
    assert (found.least, found.first, found.median, found.third, found.count) == (1.0, 2.0, 3.0, 4.0, 5)
    assert spread([7.0]).median == spread([7.0]).third == 7.0


def test_overhead_is_the_difference_within_a_round() -> None:
    assert above([3.0, 10.0], [1.0, 7.0]) == [2.0, 3.0]
    with pytest.raises(ValueError, match="longer"):
        above([1.0], [1.0, 2.0])


def test_efficiency() -> None:
    assert efficiency([0.5] * 100, 2, 25.0) == 1.0
    assert efficiency([0.5] * 100, 2, 50.0) == 0.5


def test_a_line_through_two_points() -> None:
    assert slope([(0.0, 1.0), (10.0, 6.0)]) == (1.0, 0.5)


def test_a_table() -> None:
    assert table(["way", "ms"], [["ours", "1.0"]]) == "| way | ms |\n| --- | ---: |\n| ours | 1.0 |"


def test_the_overhead_table() -> None:
    alone = {BARE: [0.010, 0.012], "ours": [0.030, 0.034], "slow": [0.110, 0.112]}
    together = {name: [2 * value for value in values] for name, values in alone.items()}
    lines = overhead_table(alone, together, "ours").splitlines()
    assert lines[2] == "| bare host (wall) | 11.0 [10.5, 11.5] | 10.0 |  | 22.0 [21.0, 23.0] |"
    assert lines[3] == "| ours | 21.0 [20.5, 21.5] | 20.0 | 1.0 | 42.0 [41.0, 43.0] |"
    assert lines[4] == "| slow | 100.0 [100.0, 100.0] | 100.0 | 4.8 | 200.0 [200.0, 200.0] |"


def test_the_matrix_table() -> None:
    cpu = [[0.5] * 100, [0.6] * 100]
    lines = matrix_table(cpu, {"ours": [27.0, 31.0], "theirs": [100.0, 100.0]}, 2).splitlines()
    assert lines[0] == "| 100 cells, 55.0 s of CPU, 2 cores | median wall | efficiency | of each repeat |"
    assert lines[2] == "| ours | 29.0 s | 0.95 | 0.93, 0.97 |"
    assert lines[3] == "| theirs | 100.0 s | 0.28 | 0.25, 0.30 |"


async def test_every_way_has_its_turn_in_every_round_and_the_first_round_is_not_counted() -> None:
    turns: list[str] = []
    running = most = 0

    def way(name: str):
        async def execute() -> float:
            nonlocal running, most
            running += 1
            most = max(most, running)
            turns.append(name)
            await anyio.lowlevel.checkpoint()
            running -= 1
            return float(len(turns))

        return execute

    seconds = await in_rounds({"a": way("a"), "b": way("b")}, 2, 1)
    assert turns == ["a", "b", "b", "a", "a", "b"]
    assert seconds == {"a": [4.0, 5.0], "b": [3.0, 6.0]}
    assert most == 1
    assert [len(values) for values in (await in_rounds({"a": way("a")}, 2, 2)).values()] == [4]
    assert most == 2


def test_the_repository_is_the_same_each_time_and_its_modules_are_imported(tmp_path: Path) -> None:
    files = big_tree()
    assert files == big_tree()
    assert len(files) == 2700
    write_tree(files, tmp_path)
    assert read_tree(tmp_path) == files
    code = f"import {module_to_import()}, sys; print(sum(name.startswith('part07.') for name in sys.modules))"
    env = {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert int(done.stdout) == IMPORTED


def test_a_script_fails_on_the_patch_of_its_number_only(tmp_path: Path) -> None:
    env = {**host_environment(sys.executable), "PYTHONPATH": str(tmp_path)}
    host = Bare(sys.executable, env, tmp_path)
    for answer, code in (("", 0), ("ANSWER = 2", 0), ("ANSWER = 3", 2)):
        (tmp_path / "changed.py").write_text(answer)
        ended, used = host.cpu_seconds(3, script_source(3, "changed", 1000))
        assert ended == code
        assert used > 0
    assert calibrated(host, "changed", 0.0) == 0
    assert calibrated(host, "changed", 100.0) > 1_000_000
    with pytest.raises(Wrong, match="does not run"):
        calibrated(host, "missing", 0.5)


def test_a_command_that_fails_has_no_figure() -> None:
    with pytest.raises(Wrong, match="on the bare host: oh"):
        bare(["/bin/sh", "-c", "echo oh; exit 1"], {})


class Nothing:
    """An engine without containers."""

    def containers(self, label: str) -> list[dict[str, str]]:
        return []


def test_what_a_process_holds_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = leaks.held(Nothing(), "none")
    (tmp_path / "left").mkdir()
    (tmp_path / "left" / "file").touch()
    descriptor = os.open(tmp_path, os.O_RDONLY)
    child = subprocess.Popen(["/bin/sh", "-c", "sleep 60 & wait"], start_new_session=True)
    try:
        while leaks.held(Nothing(), "none").processes < before.processes + 2:
            pass  # the shell starts its own
        after = leaks.held(Nothing(), "none")
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        os.close(descriptor)
    assert (before.files, after.files) == (0, 2)
    assert after.descriptors == before.descriptors + 1
    assert after.processes == before.processes + 2
    assert before.containers == after.containers == 0
    assert after.rss > 1024**2


def test_the_table_of_what_is_held() -> None:
    moment = Held(2, 1, 38, 60, 3, 0, 80 * 1024**2, 13 * 1024**2, 90 * 1024**2)
    row = held_table([("at the start", moment)]).splitlines()[2]
    assert row == "| at the start | 2 | 1 | 38 | 60 | 3 | 0 | 80.0 | 13.0 | 90.0 |"


def test_the_most_memory_is_seen() -> None:
    with most_rss() as most:
        first = most[0]
        block = bytearray(b"x" * 64 * 1024**2)
        until = time.monotonic() + 60
        while most[0] < first + 32 * 1024**2 and time.monotonic() < until:
            time.sleep(0.01)
        del block
    assert most[0] >= first + 32 * 1024**2


def test_the_program_takes_parts_and_counts() -> None:
    options = arguments().parse_args(["--only", "matrix,row", "--backends", "docker", "--row", "10"])
    assert (options.only, options.backends, options.row) == (["matrix", "row"], ["docker"], 10)
    with pytest.raises(SystemExit):
        arguments().parse_args(["--only", "nothing"])
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "sandboxes.py"), "--help"], capture_output=True, text=True, check=True
    )
    assert "--gigabytes" in done.stdout
