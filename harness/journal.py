"""The journal of a run: what finished, written before anybody builds on it (SQLite, write-ahead log).

One run, one directory, one process at a time. A run on a directory with a journal goes on where that left off:
completions and executions are answered from here (`harness.replay`), so nothing that finished is paid or done twice.
Everything is written from the event loop's thread, without a wait in between: a cancelled run has no half outcome. What
is written survives the process, however that ends. The disk, for the case that the machine ends, takes long: a thread
waits for it at most every `SYNC_SECONDS`, once for all who wrote meanwhile (`synced`).
"""

from __future__ import annotations

import json
import math
import os
import sqlite3
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import cast

import anyio
import anyio.to_thread

from agent.model.base import Completion, Request, Usage
from agent.trajectory import Turn
from harness.errors import FULL, DirectoryFull, JournalError, RunConflict
from harness.journal_schema import migrate
from harness.lock import locked
from harness.records import turn_record, usage_record
from harness.result import TurnRecord, UsageRecord

FILE_NAME = "journal.sqlite"
SYNC_SECONDS = 2.0
"""A machine that loses its power loses at most the work of so long: the log is written in order."""


class Journal:
    """An open journal. It is a `Recorder`, and the store behind `harness.replay`."""

    def __init__(self, folder: Path, option: str = "--out") -> None:
        """Open or begin the journal of a run directory and lock the directory. `option`: what names the directory.

        Raises RunConflict when a live process holds it, JournalError when it cannot be read or written.
        """
        self.folder = folder
        self._option = option
        self._lock = locked(folder, option)
        try:
            self._db = sqlite3.connect(folder / FILE_NAME)
            self._db.execute("PRAGMA journal_mode = WAL")
            # The disk has a commit only after `_sync`. FULL has SQLite sync after each one.
            self._db.execute("PRAGMA synchronous = NORMAL")
            migrate(self._db)
        except sqlite3.Error as error:
            self._lock.close()
            raise JournalError(f"{folder / FILE_NAME}: {error}; name another directory with {option}") from error
        self._log: int | None = None
        """SQLite's write-ahead log, open to be synced."""
        self._written = self._on_disk = 0
        """Commits; those that the disk has."""
        self._synced_at = -math.inf
        self._syncing = anyio.Lock(fast_acquire=True)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Commit and let go of the directory. Safe to call twice."""
        try:
            with suppress(sqlite3.Error):  # on a full disk: whoever waited for something to be kept was told so
                self._db.commit()
        finally:
            self._db.close()
            self._lock.close()
            if self._log is not None:
                os.close(self._log)
                self._log = None

    async def synced(self) -> None:
        """Wait until the disk has all that was journaled so far, if it is long since it was last waited for.

        Raises JournalError.
        """
        mine = self._written
        while self._on_disk < mine and self._due():
            async with self._syncing:  # who waits here finds its own on the disk, most of the time
                if self._on_disk < mine and self._due():
                    written = self._written
                    await anyio.to_thread.run_sync(self._sync)
                    self._on_disk = written

    def _due(self) -> bool:
        return time.monotonic() - self._synced_at >= SYNC_SECONDS

    def _sync(self) -> None:
        try:
            if self._log is None:
                self._log = os.open(self.folder / f"{FILE_NAME}-wal", os.O_RDONLY | os.O_CLOEXEC)
            getattr(os, "fdatasync", os.fsync)(self._log)
        except OSError as error:
            kind = DirectoryFull if error.errno in FULL else JournalError
            raise kind(f"{self.folder / FILE_NAME}: {error}; free some disk, then run the same command") from error
        self._synced_at = time.monotonic()

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
                f"go on with the same settings, or name another directory with {self._option}"
            )
        return True

    def get(self, key: str) -> object:
        """A value of the manifest, None where there is none."""
        row = self._db.execute("SELECT value FROM manifest WHERE key = ?", (key,)).fetchone()
        return json.loads(row[0]) if row else None

    def all(self, prefix: str) -> list[tuple[str, object]]:
        """The manifest's keys that begin so, with their values, in the order of their keys."""
        rows = self._db.execute("SELECT key, value FROM manifest ORDER BY key").fetchall()
        return [(str(key), json.loads(value)) for key, value in rows if str(key).startswith(prefix)]

    def put(self, key: str, value: object) -> None:
        """Keep a value of the manifest."""
        self._write("INSERT OR REPLACE INTO manifest VALUES (?, ?)", key, json.dumps(value))

    def completions(self, key: str, n: int) -> tuple[Completion, ...]:
        """The first answers to a request, at most `n`: as many as there are."""
        rows = self._db.execute(
            "SELECT text, finish, chances, prompt_tokens, cached_tokens, completion_tokens, seconds, money, calls"
            " FROM completions WHERE key = ? ORDER BY number LIMIT ?",
            (key, n),
        ).fetchall()
        return tuple(
            Completion(row[0], row[1], Usage(*row[3:]), None if row[2] is None else json.loads(row[2])) for row in rows
        )

    def add_completions(self, request: Request, completions: Sequence[Completion], *, first: int = 0) -> None:
        """Journal answers to a request; `first`: the number of the first of them."""
        key = request.key
        for number, completion in enumerate(completions, first):
            usage = completion.usage
            self._do(
                "INSERT OR REPLACE INTO completions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                *(key, number, request.stage.value, request.trajectory, request.turn),
                *(completion.text, completion.finish, usage.prompt_tokens, usage.cached_tokens),
                *(usage.completion_tokens, usage.seconds, usage.money, usage.calls, time.time()),
                None if completion.chances is None else json.dumps(dict(completion.chances)),
            )
        self._commit()

    def usage(self, trajectories: Sequence[str] | None = None) -> dict[str, UsageRecord]:
        """What all completions of the run cost, or those of some trajectories, by stage, and `total`."""
        return _usage(self._db, trajectories)

    def outcome(self, key: str, number: int) -> object:
        """What an operation in a sandbox led to, as it was journaled; None when it has not finished yet."""
        row = self._db.execute("SELECT outcome FROM executions WHERE key = ? AND number = ?", (key, number)).fetchone()
        return json.loads(row[0]) if row else None

    def add_outcome(self, key: str, number: int, kind: str, outcome: object, *, seconds: float = 0.0) -> None:
        """Journal an operation in a sandbox, cheap ones (writes) with the next other."""
        values = (key, number, kind, json.dumps(outcome), seconds, time.time())
        self._do("INSERT OR REPLACE INTO executions VALUES (?, ?, ?, ?, ?, ?)", *values)
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
        values = (record.stage, record.trajectory, record.index, record.model_dump_json(), time.time())
        # A replay would write it again, so nobody waits for the disk.
        self._write("INSERT OR REPLACE INTO turns VALUES (?, ?, ?, ?, ?)", *values)

    def stage(self, stage: str, done: int, total: int) -> None:
        """Progress is for the eye; what it counts is journaled already."""

    def note(self, kind: str, detail: dict[str, object]) -> None:
        # The same note again is a replayed run saying what it said before.
        values = (kind, json.dumps(detail, sort_keys=True), time.time())
        self._write("INSERT OR IGNORE INTO notes VALUES (?, ?, ?)", *values)

    def turns(self) -> Iterator[TurnRecord]:
        for (record,) in self._db.execute("SELECT record FROM turns ORDER BY trajectory, stage DESC, number"):
            yield TurnRecord.model_validate_json(record)

    def notes(self, kind: str) -> list[dict[str, object]]:
        rows = self._db.execute("SELECT detail FROM notes WHERE kind = ? ORDER BY at", (kind,)).fetchall()
        return [json.loads(row[0]) for row in rows]

    def _write(self, sql: str, *values: object) -> None:
        self._do(sql, *values)
        self._commit()

    def _do(self, sql: str, *values: object) -> None:
        try:
            self._db.execute(sql, values)
        except sqlite3.Error as error:
            raise _unwritten(self.folder / FILE_NAME, error) from error

    def _commit(self) -> None:
        self._written += 1
        try:
            self._db.commit()
        except sqlite3.Error as error:
            raise _unwritten(self.folder / FILE_NAME, error) from error


def _unwritten(path: Path, error: sqlite3.Error) -> JournalError:
    """What a failed write is: no room (SQLITE_FULL; SQLITE_IOERR where a quota or the file's size is the limit)."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    kind = DirectoryFull if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR) else JournalError
    return kind(f"{path}: {error}; free some disk, then run the same command")


def _usage(db: sqlite3.Connection, trajectories: Sequence[str] | None = None) -> dict[str, UsageRecord]:
    total = Usage()
    found: dict[str, UsageRecord] = {}
    for stage, *sums in db.execute(
        "SELECT stage, SUM(prompt_tokens), SUM(cached_tokens), SUM(completion_tokens), SUM(seconds), SUM(money),"
        " SUM(calls) FROM completions WHERE ?1 = 'null' OR trajectory IN (SELECT value FROM json_each(?1))"
        " GROUP BY stage ORDER BY MIN(rowid)",
        (json.dumps(trajectories),),
    ):
        usage = Usage(*sums)
        total += usage
        found[str(stage)] = usage_record(usage)
    found["total"] = usage_record(total)
    return found


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def read_turns(folder: Path) -> list[TurnRecord]:
    """The turns of a run that may be under way: read only, without the lock. () where there is no journal."""
    path = folder / FILE_NAME
    if not path.is_file():
        return []
    with _reading(path) as db:
        rows = db.execute("SELECT record FROM turns ORDER BY trajectory, stage DESC, number").fetchall()
        return [TurnRecord.model_validate_json(row[0]) for row in rows]


def read_usage(folder: Path) -> UsageRecord:
    """What a run's directory has cost so far, read without its lock; nothing where there is no journal to be read."""
    path = folder / FILE_NAME
    if path.is_file():
        with suppress(JournalError), _reading(path) as db:
            return _usage(db)["total"]
    return usage_record(Usage())


@contextmanager
def _reading(path: Path) -> Generator[sqlite3.Connection]:
    """Raises JournalError."""
    try:
        db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    except sqlite3.Error as error:
        raise JournalError(f"{path}: {error}") from error
    try:
        yield db
    except sqlite3.Error as error:
        raise JournalError(f"{path}: {error}") from error
    finally:
        db.close()
