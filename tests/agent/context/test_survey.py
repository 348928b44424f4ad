"""The summaries' cache: kept for later runs, shared by several at once, never in a task's way."""

from __future__ import annotations

import multiprocessing
from contextlib import closing
from pathlib import Path

from agent.context.survey import Summaries


def test_what_is_kept_is_there_for_the_next_run(tmp_path: Path) -> None:
    with closing(Summaries(tmp_path / "deep" / "s.sqlite3")) as first:
        first.put("a", "one")
        first.put("a", "two")
    with closing(Summaries(tmp_path / "deep" / "s.sqlite3")) as second:
        assert second.get(["a", "b"]) == {"a": "two"}


def test_a_cache_that_cannot_be_had_knows_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "damaged").write_bytes(b"this is no database" * 100)
    for path in (tmp_path / "file" / "s.sqlite3", tmp_path / "damaged"):
        with closing(Summaries(path)) as summaries:
            summaries.put("a", "one")
            assert summaries.get(["a"]) == {}


def _put(path: Path, number: int) -> None:
    with closing(Summaries(path)) as summaries:
        for at in range(50):
            summaries.put(f"{number} {at}", "text")


def test_several_runs_write_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    path = tmp_path / "s.sqlite3"
    runs = [context.Process(target=_put, args=(path, number)) for number in range(3)]
    for run in runs:
        run.start()
    for run in runs:
        run.join(60)
    with closing(Summaries(path)) as summaries:
        keys = [f"{number} {at}" for number in range(3) for at in range(50)]
        assert len(summaries.get(keys)) == 150
