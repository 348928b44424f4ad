"""The journal: what is kept, for whom, and who is turned away."""

from __future__ import annotations

import errno
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from agent.model.base import Completion, Message, Request, Sampling, Stage, Usage
from agent.trajectory import Outcome, Turn
from harness.errors import DirectoryFull, JournalError, RunConflict
from harness.journal import FILE_NAME, Journal, read_turns
from harness.journal_schema import MIGRATIONS


def request(text: str = "q", stage: Stage = Stage.EDITING, trajectory: str = "trajectory-0") -> Request:
    return Request((Message("user", text),), Sampling(), stage, trajectory)


def completion(text: str, tokens: int = 10, money: float = 0.5) -> Completion:
    return Completion(text, "stop", Usage(100, 40, tokens, 1.5, money, 1))


def turn(index: int, text: str = "answer") -> Turn:
    return Turn(Stage.EDITING, "trajectory-0", index, "prompt", completion(text), Outcome.EDIT_APPLIED, "feedback")


def test_completions_come_back_as_they_were(tmp_path: Path) -> None:
    answers = (
        completion("first \N{SNOWMAN}\r\n"),
        Completion("", "length", Usage(completion_tokens=3)),
        Completion("A", "length", Usage(), {"A": 0.7, "B": 0.1}),
    )
    with Journal(tmp_path) as journal:
        journal.add_completions(request(), answers)
    with Journal(tmp_path) as journal:
        assert journal.completions(request().key, 3) == answers
        assert journal.completions(request().key, 1) == answers[:1]
        assert journal.completions(request().key, 4) == answers
        assert journal.completions(request("other").key, 1) == ()


class SlowDisk:
    """A disk that has nothing until it is let go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.went_on, self.synced = threading.Event(), 0
        monkeypatch.setattr(os, "fdatasync", self.sync)

    def sync(self, fd: int) -> None:
        assert os.readlink(f"/proc/self/fd/{fd}").endswith("-wal")
        self.went_on.wait(30)
        self.synced += 1


@pytest.mark.anyio
async def test_who_waits_for_the_disk_waits_for_all_who_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    with Journal(tmp_path) as journal:
        disk = SlowDisk(monkeypatch)

        async def one(name: str) -> None:
            journal.add_completions(request(name), (completion(name),))
            await journal.synced()
            done.append(name)

        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(one, str(number))
            await anyio.sleep(0.05)
            assert done == []
            disk.went_on.set()
        assert len(done) == 20
        assert disk.synced <= 2, "once for the first, once for those who wrote meanwhile"
        before = disk.synced
        await one("soon")
        assert disk.synced == before, "it has been waited for a moment ago"
        monkeypatch.setattr("harness.journal.SYNC_SECONDS", 0.0)
        await journal.synced()
        assert disk.synced == before + 1
        await journal.synced()
        assert disk.synced == before + 1, "it has everything"


@pytest.mark.anyio
async def test_a_disk_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with Journal(tmp_path) as journal:
        monkeypatch.setattr(os, "fdatasync", full)
        journal.add_outcome("key", 0, "run", {"exit_code": 0})
        with pytest.raises(DirectoryFull, match="free some disk"):
            await journal.synced()


def test_usage_by_stage_and_total(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.add_completions(request("a", Stage.TEST_WRITING), (completion("x", 10), completion("y", 5)))
        journal.add_completions(request("b", Stage.EDITING), (completion("z", 7),))
        usage = journal.usage()
    assert list(usage) == ["test_writing", "editing", "total"]
    assert usage["test_writing"].completion_tokens == 15
    assert usage["total"].completion_tokens == 22
    assert usage["total"].money == 1.5
    assert usage["total"].calls == 3


def test_usage_of_some_trajectories(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.add_completions(request("a", Stage.TEST_WRITING), (completion("x", 10), completion("y", 5)))
        journal.add_completions(request("b", trajectory="trajectory-1"), (completion("z", 7),))
        before = journal.usage(["trajectory-0", "trajectory-1"])
        journal.add_completions(request("c", trajectory="trajectory-2"), (completion("later", 1_000),))
        assert journal.usage(["trajectory-0", "trajectory-1"]) == before
        assert journal.usage(["trajectory-1"])["total"].completion_tokens == 7
        assert journal.usage([])["total"].calls == 0
    assert before["total"].completion_tokens == 22


def test_a_turn_recorded_again_is_there_once(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.turn(turn(0))
        journal.turn(turn(1))
        journal.turn(turn(0))
        journal.note("k", {"b": 1, "a": 2})
        journal.note("k", {"a": 2, "b": 1})
        assert [record.index for record in journal.turns()] == [0, 1]
        assert journal.notes("k") == [{"a": 2, "b": 1}]


def test_turns_are_read_while_the_run_goes_on(tmp_path: Path) -> None:
    assert read_turns(tmp_path) == []
    with Journal(tmp_path) as journal:
        journal.turn(turn(0, "hello"))
        assert [record.completion for record in read_turns(tmp_path)] == ["hello"]


def test_other_settings_are_refused_with_the_differences(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        assert not journal.identify({"candidates": 8, "seed": 0, "old": (1, 2)})
        assert journal.identify({"seed": 0, "candidates": 8, "old": (1, 2)})
    with Journal(tmp_path) as journal, pytest.raises(RunConflict) as caught:
        journal.identify({"candidates": 4, "seed": 0, "new": 1})
    message = str(caught.value)
    assert "candidates: 8 there, 4 now" in message
    assert "new: null there, 1 now" in message
    assert "seed" not in message
    assert "--out" in message


def test_a_directory_in_use_names_its_process(tmp_path: Path) -> None:
    with Journal(tmp_path), pytest.raises(RunConflict, match=rf"in use by process {os.getpid()} on \S+; .*--out"):
        Journal(tmp_path)
    Journal(tmp_path).close()


def test_a_directory_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="--out"):
        Journal(tmp_path / "file")


def test_a_file_that_is_no_journal(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("not a database, but long enough to be looked at " * 100)
    with pytest.raises(JournalError, match="--out"):
        Journal(tmp_path)
    (tmp_path / FILE_NAME).unlink()
    Journal(tmp_path).close()  # the lock was let go of


def test_a_journal_from_before_there_were_chances_is_read(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / FILE_NAME) as db:
        db.executescript(
            "CREATE TABLE migrations (name TEXT PRIMARY KEY); INSERT INTO migrations VALUES ('0001 outcomes');"
            + MIGRATIONS[0][1]
        )
        db.execute(
            "INSERT INTO completions VALUES (?, 0, 'editing', 'trajectory-0', 0, 'a', 'stop', 9, 0, 1, 2.0, 0.0, 1, 0)",
            (request().key,),
        )
    db.close()
    with Journal(tmp_path) as journal:
        assert journal.completions(request().key, 1) == (Completion("a", "stop", Usage(9, 0, 1, 2.0, 0.0, 1)),)


def test_a_request_without_answers_has_the_key_that_it_had_before_there_were_any() -> None:
    assert request().key == "c61f8a3e2cc09aea500bc93b91d084fe151d20941d6a40ddbbb14ac8811cb4ed"
    assert replace(request(), answers=("A", "B")).key != request().key


def test_a_journal_of_a_later_version_is_refused(tmp_path: Path) -> None:
    Journal(tmp_path).close()
    with sqlite3.connect(tmp_path / FILE_NAME) as db:
        db.execute("INSERT INTO migrations VALUES ('9999 future')")
    db.close()
    with pytest.raises(JournalError, match="later bestpatch"):
        Journal(tmp_path)


def test_what_was_journaled_survives_a_kill(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "from harness.journal import Journal\n"
        "from tests.harness.test_journal import completion, request, turn\n"
        "journal = Journal(Path(sys.argv[1]))\n"
        "journal.add_completions(request(), (completion('kept'),))\n"
        "journal.add_outcome('key', 0, 'run', {'exit_code': 0}, seconds=2.0)\n"
        "journal.turn(turn(0))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=Path(__file__).parents[2])
    assert done.returncode == -signal.SIGKILL
    with Journal(tmp_path) as journal:
        kept = journal.completions(request().key, 1)
        assert kept is not None
        assert kept[0].text == "kept"
        assert journal.outcome("key", 0) == {"exit_code": 0}
        assert journal.sandbox_seconds() == 2.0
        assert journal.counts() == (1, 1)
        assert len(list(journal.turns())) == 1
