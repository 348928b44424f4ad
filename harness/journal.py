"""The journal of a run: what finished, on disk before anybody builds on it (SQLite, write-ahead log, synced).

One run, one directory, one process at a time. A run on a directory with a journal goes on where that left off:
completions and executions are answered from here (`harness.replay`), so nothing that finished is paid or done twice.
Everything is written from the event loop's thread, without a wait in between: a cancelled run has no half outcome.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, cast

from agent.model.base import Completion, Request, Usage
from agent.trajectory import Turn
from harness.errors import JournalError, RunConflict
from harness.result import TurnRecord, UsageRecord

FILE_NAME = "journal.sqlite"
LOCK_NAME = "lock"

MIGRATIONS: tuple[tuple[str, str], ...] = (
    (
        "0001 outcomes",
        """
        CREATE TABLE manifest (key TEXT PRIMARY KEY, value TEXT NOT NULL);
        CREATE TABLE completions (
            key TEXT NOT NULL, number INTEGER NOT NULL, stage TEXT NOT NULL, trajectory TEXT NOT NULL,
            turn INTEGER NOT NULL, text TEXT NOT NULL, finish TEXT NOT NULL, prompt_tokens INTEGER NOT NULL,
            cached_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, seconds REAL NOT NULL,
            money REAL NOT NULL, calls INTEGER NOT NULL, at REAL NOT NULL, PRIMARY KEY (key, number));
        CREATE TABLE executions (
            key TEXT NOT NULL, number INTEGER NOT NULL, kind TEXT NOT NULL, outcome TEXT NOT NULL,
            seconds REAL NOT NULL, at REAL NOT NULL, PRIMARY KEY (key, number));
        CREATE TABLE turns (
            stage TEXT NOT NULL, trajectory TEXT NOT NULL, number INTEGER NOT NULL, record TEXT NOT NULL,
            at REAL NOT NULL, PRIMARY KEY (stage, trajectory, number));
        CREATE TABLE notes (kind TEXT NOT NULL, detail TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY (kind, detail));
        """,
    ),
)
"""Name -> SQL. A migration that was released is never changed; a new one is added below it."""


class Journal:
    """An open journal. It is a `Recorder`, and the store behind `harness.replay`."""

    def __init__(self, folder: Path) -> None:
        """Open or begin the journal of a run directory and lock the directory.

        Raises RunConflict when a live process holds it, JournalError when it cannot be read or written.
        """
        self.folder = folder
        self._lock = _locked(folder)
        try:
            self._db = sqlite3.connect(folder / FILE_NAME)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            _migrate(self._db)
        except sqlite3.Error as error:
            self._lock.close()
            raise JournalError(f"{folder / FILE_NAME}: {error}; name another directory with --out") from error

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Commit and let go of the directory. Safe to call twice."""
        self._db.commit()
        self._db.close()
        self._lock.close()

    def identify(self, identity: Mapping[str, object]) -> bool:
        """Bind the directory to what decides a run's outcome; True when it was begun before.

        Raises RunConflict, naming the differences, when it was begun with another identity.
        """
        before = self.get("identity")
        if before is None:
            self.put("identity", identity)
            return False
        known = cast("Mapping[str, object]", before)
        now = cast("Mapping[str, object]", json.loads(json.dumps(identity)))
        changed = [name for name in sorted({*known, *now}) if known.get(name) != now.get(name)]
        if changed:
            lines = "\n".join(
                f"  {name}: {_short(known.get(name))} there, {_short(now.get(name))} now" for name in changed
            )
            raise RunConflict(
                f"{self.folder} holds a run with other settings:\n{lines}\n"
                "go on with the same settings, or name another directory with --out"
            )
        return True

    def get(self, key: str) -> object:
        """A value of the manifest, None where there is none."""
        row = self._db.execute("SELECT value FROM manifest WHERE key = ?", (key,)).fetchone()
        return json.loads(row[0]) if row else None

    def put(self, key: str, value: object) -> None:
        self._write("INSERT OR REPLACE INTO manifest VALUES (?, ?)", key, json.dumps(value))

    def completions(self, key: str, n: int) -> tuple[Completion, ...] | None:
        """The first `n` answers to a request; None when there are not so many."""
        rows = self._db.execute(
            "SELECT text, finish, prompt_tokens, cached_tokens, completion_tokens, seconds, money, calls"
            " FROM completions WHERE key = ? ORDER BY number LIMIT ?",
            (key, n),
        ).fetchall()
        return tuple(Completion(row[0], row[1], Usage(*row[2:])) for row in rows) if len(rows) == n else None

    def add_completions(self, request: Request, completions: Sequence[Completion]) -> None:
        for number, completion in enumerate(completions):
            usage = completion.usage
            self._db.execute(
                "INSERT OR REPLACE INTO completions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(request.key, number, request.stage.value, request.trajectory, request.turn),
                    *(completion.text, completion.finish, usage.prompt_tokens, usage.cached_tokens),
                    *(usage.completion_tokens, usage.seconds, usage.money, usage.calls, time.time()),
                ),
            )
        self._commit()

    def usage(self) -> dict[str, UsageRecord]:
        """What all completions of the run cost, by stage, and `total`."""
        total = Usage()
        found: dict[str, UsageRecord] = {}
        for stage, *sums in self._db.execute(
            "SELECT stage, SUM(prompt_tokens), SUM(cached_tokens), SUM(completion_tokens), SUM(seconds), SUM(money),"
            " SUM(calls) FROM completions GROUP BY stage ORDER BY MIN(rowid)"
        ):
            usage = Usage(*sums)
            total += usage
            found[str(stage)] = usage_record(usage)
        found["total"] = usage_record(total)
        return found

    def outcome(self, key: str, number: int) -> object:
        """What an operation in a sandbox led to, as it was journaled; None when it has not finished yet."""
        row = self._db.execute("SELECT outcome FROM executions WHERE key = ? AND number = ?", (key, number)).fetchone()
        return json.loads(row[0]) if row else None

    def add_outcome(self, key: str, number: int, kind: str, outcome: object, *, seconds: float = 0.0) -> None:
        """Journal an operation in a sandbox. Cheap ones (writes) reach the disk with the next that is not."""
        self._db.execute(
            "INSERT OR REPLACE INTO executions VALUES (?, ?, ?, ?, ?, ?)",
            (key, number, kind, json.dumps(outcome), seconds, time.time()),
        )
        if kind != "write":
            self._commit()

    def sandbox_seconds(self) -> float:
        """Wall seconds of all executions together."""
        return float(self._db.execute("SELECT COALESCE(SUM(seconds), 0) FROM executions").fetchone()[0])

    def counts(self) -> tuple[int, int]:
        """Journaled model calls and executions."""
        calls = self._db.execute("SELECT COALESCE(SUM(calls), 0) FROM completions").fetchone()[0]
        runs = self._db.execute("SELECT COUNT(*) FROM executions WHERE kind = 'run'").fetchone()[0]
        return int(calls), int(runs)

    def turn(self, turn: Turn) -> None:
        record = turn_record(turn)
        self._write(
            "INSERT OR REPLACE INTO turns VALUES (?, ?, ?, ?, ?)",
            *(record.stage, record.trajectory, record.index, record.model_dump_json(), time.time()),
        )

    def stage(self, stage: str, done: int, total: int) -> None:
        """Progress is for the eye; what it counts is journaled already."""

    def note(self, kind: str, detail: dict[str, object]) -> None:
        # The same note again is a replayed run saying what it said before.
        self._write(
            "INSERT OR IGNORE INTO notes VALUES (?, ?, ?)", kind, json.dumps(detail, sort_keys=True), time.time()
        )

    def turns(self) -> Iterator[TurnRecord]:
        for (record,) in self._db.execute("SELECT record FROM turns ORDER BY trajectory, stage DESC, number"):
            yield TurnRecord.model_validate_json(record)

    def notes(self, kind: str) -> list[dict[str, object]]:
        rows = self._db.execute("SELECT detail FROM notes WHERE kind = ? ORDER BY at", (kind,)).fetchall()
        return [json.loads(row[0]) for row in rows]

    def _write(self, sql: str, *values: object) -> None:
        self._db.execute(sql, values)
        self._commit()

    def _commit(self) -> None:
        try:
            self._db.commit()
        except sqlite3.Error as error:
            raise JournalError(
                f"{self.folder / FILE_NAME}: {error}; free some disk, then run the same command"
            ) from error


def usage_record(usage: Usage) -> UsageRecord:
    return UsageRecord(
        calls=usage.calls,
        prompt_tokens=usage.prompt_tokens,
        cached_tokens=usage.cached_tokens,
        completion_tokens=usage.completion_tokens,
        model_seconds=usage.seconds,
        money=usage.money,
    )


def turn_record(turn: Turn) -> TurnRecord:
    return TurnRecord(
        stage=turn.stage.value,
        trajectory=turn.trajectory,
        index=turn.index,
        prompt=turn.prompt,
        completion=turn.completion.text,
        finish=turn.completion.finish,
        outcome=turn.outcome.value,
        feedback=turn.feedback,
        completion_tokens=turn.completion.usage.completion_tokens,
        seconds=turn.completion.usage.seconds,
    )


def _locked(folder: Path) -> IO[str]:
    """The directory's lock file, held. The kernel lets go of it when the process ends, however it ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / LOCK_NAME).open("a+", encoding="utf-8")
    except OSError as error:
        raise JournalError(
            f"{folder}: cannot be written: {error.strerror}; name another directory with --out"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.seek(0)
        holder = lock.read().strip() or "another process"
        lock.close()
        raise RunConflict(
            f"{folder} is in use by {holder}; wait for it, or name another directory with --out"
        ) from None
    lock.seek(0)
    lock.truncate()
    lock.write(f"process {os.getpid()} on {socket.gethostname()}\n")
    lock.flush()
    return lock


def _migrate(db: sqlite3.Connection) -> None:
    db.execute("CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY)")
    done = {str(row[0]) for row in db.execute("SELECT name FROM migrations")}
    unknown = sorted(done - {name for name, _ in MIGRATIONS})
    if unknown:
        raise sqlite3.DatabaseError(f"was written by a later bestpatch (migration {unknown[-1]}); update bestpatch")
    for name, sql in MIGRATIONS:
        if name not in done:
            # One transaction for a migration and its name: a kill leaves both or neither.
            db.executescript(f"BEGIN; {sql} INSERT INTO migrations VALUES ('{name}'); COMMIT;")  # noqa: S608 - our own names


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def read_turns(folder: Path) -> list[TurnRecord]:
    """The turns of a run that may be under way: read only, without the lock. () where there is no journal."""
    path = folder / FILE_NAME
    if not path.is_file():
        return []
    try:
        db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    except sqlite3.Error as error:
        raise JournalError(f"{path}: {error}") from error
    try:
        rows = db.execute("SELECT record FROM turns ORDER BY trajectory, stage DESC, number").fetchall()
        return [TurnRecord.model_validate_json(row[0]) for row in rows]
    except sqlite3.Error as error:
        raise JournalError(f"{path}: {error}") from error
    finally:
        db.close()
