"""What is kept of gradings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.errors import JournalError
from harness.evaluation import store
from harness.evaluation.record import FINAL, Evaluation, Outcome
from harness.evaluation.store import Store, key_of, write
from harness.instances import Instance
from tests.harness.test_instances import ROW

INSTANCE = Instance.model_validate(ROW)


def key(patch: str = "p", how: str = "python:3.11", **change: Any) -> str:
    return key_of(INSTANCE.model_copy(update=change), patch, how)


def test_keys() -> None:
    assert key() == key(problem_statement="other words", patch="p", hints_text="x")
    others = [key("q"), key(how="python:3.12"), key(base_commit="1"), key(test_patch="x"), key(PASS_TO_PASS=())]
    assert len({key(), *others}) == 1 + len(others)


@pytest.mark.parametrize("outcome", list(Outcome))
def test_what_another_run_would_find_again_is_kept(tmp_path: Path, outcome: Outcome) -> None:
    kept = Store(tmp_path).put(Evaluation(key="k", instance_id="a", outcome=outcome), "the log")
    assert (tmp_path / "evaluation" / kept.log).read_text() == "the log"
    assert Store(tmp_path).get("a", "k") == (kept if outcome in FINAL else None)


def test_damaged_and_foreign_files_are_no_evaluations(tmp_path: Path) -> None:
    kept = Store(tmp_path)
    assert kept.get("a", "k") is None
    kept.put(Evaluation(key="other", instance_id="a", outcome=Outcome.RESOLVED), "")
    (tmp_path / "evaluation" / "a-other.json").rename(tmp_path / "evaluation" / "a-k.json")
    assert kept.get("a", "k") is None
    (tmp_path / "evaluation" / "a-k.json").write_text('{"key": "k", "instance')
    assert kept.get("a", "k") is None


def test_long_logs_lose_their_middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "LOG_CAP", 10)
    kept = Store(tmp_path).put(Evaluation(key="k", instance_id="a", outcome=Outcome.RESOLVED), "0123456789abcdef")
    assert (tmp_path / "evaluation" / kept.log).read_text() == "01234\n[6 characters left out]\nbcdef"


def test_a_file_is_whole_or_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a", b"one")

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store.os, "fsync", full)
    with pytest.raises(JournalError, match="No space left on device; free some disk"):
        write(tmp_path / "a", b"two")
    assert (tmp_path / "a").read_bytes() == b"one"
